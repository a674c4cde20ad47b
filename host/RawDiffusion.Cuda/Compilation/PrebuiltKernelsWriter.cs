using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>Makes the file that <see cref="PrebuiltKernels"/> reads; the same kernels give the same bytes.</summary>
public static class PrebuiltKernelsWriter
{
    private const int Quality = 11, WindowBits = 24;

    // Zip files hold local times without a zone, from 1980 on.
    private static readonly DateTimeOffset Epoch = new(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Compiles all variants of a list that are not known, on all cores, and writes all.</summary>
    /// <param name="list">What to compile.</param>
    /// <param name="sources">The kernels' sources.</param>
    /// <param name="nvrtc">The compiler.</param>
    /// <param name="known">Kernels that were compiled before, if any; those of the same key are taken as they are.</param>
    /// <param name="destination">Where the zip file goes.</param>
    /// <param name="progress">Told the number of kernels compiled so far, from any thread.</param>
    /// <exception cref="KernelCompileException">A variant does not compile, or the compiler does not know a target.</exception>
    public static void Write(KernelList list, KernelSources sources, Nvrtc nvrtc, PrebuiltKernels? known, Stream destination, Action<int> progress)
    {
        (KernelVariant Variant, string Target)[] entries = [.. list.Entries];
        var kernels = new (string Block, string Key, byte[] Image)[entries.Length];
        int done = 0;
        try
        {
            Parallel.For(0, entries.Length, i =>
            {
                var target = KernelTarget.Parse(entries[i].Target);
                if (!nvrtc.Architectures.Contains(target.ComputeCapability))
                    throw new KernelCompileException($"{entries[i].Variant} is wanted for {target}, which NVRTC {nvrtc.Version} does not know; use a newer one, or take the target off the list");
                var program = new KernelProgram(sources, entries[i].Variant);
                string block = $"{target}/{Path.GetFileNameWithoutExtension(entries[i].Variant.File)}{PrebuiltKernels.BlockExtension}";
                string key = program.Key(target, nvrtc.Version);
                kernels[i] = (block, key, known?.Read(key) ?? program.Compile(nvrtc, target));
                progress(Interlocked.Increment(ref done));
            });
        }
        catch (AggregateException failures)
        {
            throw new KernelCompileException(string.Join("\n", failures.InnerExceptions.Select(e => e.Message).Distinct()));
        }
        Write(kernels, nvrtc.Version, destination);
    }

    /// <summary>Writes compiled kernels.</summary>
    internal static void Write(IEnumerable<(string Block, string Key, byte[] Image)> kernels, string compilerVersion, Stream destination)
    {
        using var zip = new ZipArchive(destination, ZipArchiveMode.Create, leaveOpen: true);
        var manifest = new StringBuilder($"{PrebuiltKernels.Header}\ncompiler {compilerVersion}\n");
        foreach (var block in kernels.GroupBy(k => k.Block).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            byte[] content = [.. block.SelectMany(k => k.Image)];
            manifest.Append($"block {block.Key} {content.Length} {Convert.ToHexStringLower(SHA256.HashData(content))}\n");
            int offset = 0;
            foreach ((_, string key, byte[] image) in block)
            {
                manifest.Append($"{key} {offset} {image.Length}\n");
                offset += image.Length;
            }
            Add(zip, block.Key, Compress(content), CompressionLevel.NoCompression);
        }
        Add(zip, PrebuiltKernels.ManifestName, Encoding.UTF8.GetBytes(manifest.ToString()), CompressionLevel.SmallestSize);
    }

    private static byte[] Compress(byte[] content)
    {
        var compressed = new byte[BrotliEncoder.GetMaxCompressedLength(content.Length)];
        if (!BrotliEncoder.TryCompress(content, compressed, out int written, Quality, WindowBits)) throw new InvalidOperationException("Brotli refused its own bound");
        return compressed[..written];
    }

    private static void Add(ZipArchive zip, string name, byte[] content, CompressionLevel level)
    {
        ZipArchiveEntry entry = zip.CreateEntry(name, level);
        entry.LastWriteTime = Epoch;
        using Stream stream = entry.Open();
        stream.Write(content);
    }
}
