using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Compiled kernels that travel with the command, for machines without NVRTC. Read-only and thread-safe.
/// </summary>
/// <remarks>
/// A zip file with a manifest and, compressed by Brotli, the lines and streams that <see cref="PtxPacker"/> makes of all kernels, one
/// behind the other: what variants share is stored once. The manifest is lines: <c>compiler 11.8</c>, <c>lines BYTES</c>, then for each
/// kernel <c>KEY TARGET CHECKSUM</c> and its bytes in each stream. The first kernel that is read unpacks the streams, which are a sixth of
/// the kernels, in 0.2 s; each is put together when it is asked for. One whose checksum is wrong counts as missing.
/// Measured: 1470 kernels of 145 MB take 0.75 MB so, and took 5.6 MB as text, all of a source file in one Brotli stream.
/// </remarks>
public sealed class PrebuiltKernels
{
    internal const string Header = "rawdiffusion kernels 2";
    internal const string ManifestName = "manifest.txt";
    internal const string LinesName = "text.br";

    private const string ResourceName = "kernels/prebuilt.zip", Advice = "make the file again with tools/PrebuildKernels";

    private readonly Func<Stream> open;
    private readonly Dictionary<string, Place> kernels = [];
    private readonly int linesBytes;
    private readonly int[] streamBytes = new int[PtxPacker.Streams];
    private readonly Lazy<(string[] Lines, byte[][] Streams)?> content;

    /// <summary>Reads the manifest.</summary>
    /// <param name="open">Opens the zip file, again when the first kernel is read.</param>
    /// <exception cref="InvalidDataException">It is no zip file of prebuilt kernels.</exception>
    public PrebuiltKernels(Func<Stream> open)
    {
        this.open = open;
        content = new(Unpack);
        using var zip = new ZipArchive(open(), ZipArchiveMode.Read);
        ZipArchiveEntry manifest = zip.GetEntry(ManifestName)
            ?? throw new InvalidDataException($"expected {ManifestName} in the prebuilt kernels; {Advice}");
        using var reader = new StreamReader(manifest.Open());
        string[] first = [reader.ReadLine() ?? "", reader.ReadLine() ?? "", reader.ReadLine() ?? ""];
        if (first[0] != Header || !first[1].StartsWith("compiler ", StringComparison.Ordinal)
            || !first[2].StartsWith("lines ", StringComparison.Ordinal))
        {
            throw new InvalidDataException($"expected prebuilt kernels that start with '{Header}', found '{first[0]}'; {Advice}");
        }

        CompilerVersion = first[1]["compiler ".Length..];
        linesBytes = Number(first[2]["lines ".Length..]);
        HashSet<KernelTarget> targets = [];
        while (reader.ReadLine() is { } line)
        {
            string[] words = line.Split(' ');
            if (words.Length != 3 + PtxPacker.Streams)
                throw new InvalidDataException($"'{line}' has no place in the manifest of the prebuilt kernels; {Advice}");
            targets.Add(KernelTarget.Parse(words[1]));
            int[] lengths = [.. words.Skip(3).Select(Number)];
            kernels[words[0]] = new(words[2], [.. streamBytes], lengths);
            for (int s = 0; s < lengths.Length; s++) streamBytes[s] += lengths[s];
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
        wanted.Entries.Where(e => !kernels.ContainsKey(
        new KernelProgram(sources, e.Variant).Key(KernelTarget.Parse(e.Target), CompilerVersion)));

    /// <summary>The kernel of a key; null if there is none.</summary>
    internal byte[]? Read(string key)
    {
        if (!kernels.TryGetValue(key, out Place place) || content.Value is not var (lines, streams)) return null;
        try
        {
            byte[] image = PtxPacker.Unpack(lines, [.. streams.Select((s, i) => s.AsSpan(place.Offsets[i], place.Lengths[i]).ToArray())]);
            return Checksum(image) == place.Checksum ? image : null;
        }
        catch (InvalidDataException)
        {
            return null;
        }
    }

    /// <summary>The first 64 bits of the SHA-256, in hexadecimal digits.</summary>
    internal static string Checksum(byte[] image) => Convert.ToHexStringLower(SHA256.HashData(image).AsSpan(0, 8));

    /// <summary>Name of a stream in the zip file.</summary>
    internal static string NameOf(PackedStream stream) => $"{stream.ToString().ToLowerInvariant()}.br";

    private static int Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : throw new InvalidDataException($"expected a number in the manifest of the prebuilt kernels, found '{text}'; {Advice}");

    private (string[] Lines, byte[][] Streams)? Unpack()
    {
        try
        {
            using var zip = new ZipArchive(open(), ZipArchiveMode.Read);
            string[] lines = Encoding.Latin1.GetString(Decompress(zip, LinesName, linesBytes)).Split('\n');
            return (lines, [.. Enum.GetValues<PackedStream>().Select(s => Decompress(zip, NameOf(s), streamBytes[(int)s]))]);
        }
        catch (Exception exception) when (exception is InvalidDataException or EndOfStreamException or InvalidOperationException)
        {
            return null;
        }
    }

    private static byte[] Decompress(ZipArchive zip, string name, int bytes)
    {
        using var brotli = new BrotliStream(zip.GetEntry(name)?.Open() ?? Stream.Null, CompressionMode.Decompress);
        byte[] content = new byte[bytes];
        brotli.ReadExactly(content);
        return content;
    }

    private readonly record struct Place(string Checksum, int[] Offsets, int[] Lengths);
}
