using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Compiled kernels that travel with the command, for machines without NVRTC. Read-only and thread-safe.
/// </summary>
/// <remarks>
/// A zip file with a manifest and solid blocks. Variants of one kernel differ little, so all of a source file for one target
/// are concatenated and compressed together with Brotli; a process unpacks the blocks of its own target only. The manifest
/// is lines: <c>compiler 11.8</c>, then for each block <c>block NAME BYTES SHA256</c>, below it <c>KEY OFFSET BYTES</c> for
/// each kernel. A block whose checksum is wrong counts as missing.
/// </remarks>
public sealed class PrebuiltKernels
{
    internal const string Header = "rawdiffusion kernels 1";
    internal const string ManifestName = "manifest.txt";
    internal const string BlockExtension = ".br";

    private const string ResourceName = "kernels/prebuilt.zip";

    private readonly Func<Stream> open;
    private readonly Dictionary<string, (Block Block, int Offset, int Bytes)> kernels = [];
    private readonly Lock unpacking = new();

    /// <summary>Reads the manifest.</summary>
    /// <param name="open">Opens the zip file, again for each block that is unpacked.</param>
    /// <exception cref="InvalidDataException">It is no zip file of prebuilt kernels.</exception>
    public PrebuiltKernels(Func<Stream> open)
    {
        this.open = open;
        using var zip = new ZipArchive(open(), ZipArchiveMode.Read);
        ZipArchiveEntry manifest = zip.GetEntry(ManifestName) ?? throw new InvalidDataException($"expected {ManifestName} in the prebuilt kernels; make the file again with tools/PrebuildKernels");
        using var reader = new StreamReader(manifest.Open());
        string[] first = [reader.ReadLine() ?? "", reader.ReadLine() ?? ""];
        if (first[0] != Header || !first[1].StartsWith("compiler ", StringComparison.Ordinal))
            throw new InvalidDataException($"expected prebuilt kernels that start with '{Header}', found '{first[0]}'; make the file again with tools/PrebuildKernels");
        CompilerVersion = first[1]["compiler ".Length..];
        Block? block = null;
        HashSet<KernelTarget> targets = [];
        while (reader.ReadLine() is { } line)
        {
            string[] words = line.Split(' ');
            if (words is ["block", var name, var bytes, var checksum])
            {
                block = new(name, Number(bytes), checksum);
                targets.Add(KernelTarget.Parse(name[..Math.Max(0, name.IndexOf('/'))]));
            }
            else if (words is [var key, var offset, var length] && block is not null)
            {
                kernels[key] = (block, Number(offset), Number(length));
            }
            else
            {
                throw new InvalidDataException($"'{line}' has no place in the manifest of the prebuilt kernels; make the file again with tools/PrebuildKernels");
            }
        }
        Targets = [.. targets.OrderByDescending(t => t.IsMachineCode).ThenByDescending(t => t.ComputeCapability)];
    }

    /// <summary>The kernels that travel in this assembly; null where it was built without them.</summary>
    public static PrebuiltKernels? Embedded { get; } =
        typeof(PrebuiltKernels).Assembly.GetManifestResourceInfo(ResourceName) is null ? null
            : new(() => typeof(PrebuiltKernels).Assembly.GetManifestResourceStream(ResourceName)!);

    /// <summary>Version of the compiler that made them: <c>11.8</c>. It is part of their keys.</summary>
    public string CompilerVersion { get; }

    /// <summary>How many there are.</summary>
    public int Count => kernels.Count;

    /// <summary>What they were compiled for, machine code before PTX, newer before older.</summary>
    public IReadOnlyList<KernelTarget> Targets { get; }

    /// <summary>What a list wants and these kernels lack, because it was never made or because the sources changed since.</summary>
    /// <param name="wanted">The variants.</param>
    /// <param name="sources">The kernels' sources as they are now.</param>
    /// <exception cref="KernelCompileException">The list names a file that does not exist.</exception>
    public IEnumerable<(KernelVariant Variant, string Target)> Missing(KernelList wanted, KernelSources sources) =>
        wanted.Entries.Where(e => !kernels.ContainsKey(new KernelProgram(sources, e.Variant).Key(KernelTarget.Parse(e.Target), CompilerVersion)));

    /// <summary>The kernel of a key; null if there is none.</summary>
    internal byte[]? Read(string key)
    {
        if (!kernels.TryGetValue(key, out var place)) return null;
        byte[]? content;
        lock (unpacking) content = place.Block.Content ??= Unpack(place.Block);
        return place.Offset >= 0 && place.Bytes > 0 && place.Offset <= content.Length - place.Bytes ? content.AsSpan(place.Offset, place.Bytes).ToArray() : null;
    }

    private static int Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : throw new InvalidDataException($"expected a number in the manifest of the prebuilt kernels, found '{text}'; make the file again with tools/PrebuildKernels");

    private byte[] Unpack(Block block)
    {
        try
        {
            using var zip = new ZipArchive(open(), ZipArchiveMode.Read);
            using var brotli = new BrotliStream(zip.GetEntry(block.Name)?.Open() ?? Stream.Null, CompressionMode.Decompress);
            var content = new byte[block.Bytes];
            brotli.ReadExactly(content);
            return Convert.ToHexStringLower(SHA256.HashData(content)) == block.Checksum ? content : [];
        }
        catch (Exception exception) when (exception is InvalidDataException or EndOfStreamException or InvalidOperationException)
        {
            return [];
        }
    }

    private sealed record Block(string Name, int Bytes, string Checksum)
    {
        public byte[]? Content { get; set; }
    }
}
