using System.Globalization;
using System.IO.Compression;
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
    /// <param name="cache">
    /// Kernels that runs compiled, if any; those of the same key are taken as they are, and what is compiled joins them.
    /// </param>
    /// <param name="known">Kernels that were written before, if any, likewise.</param>
    /// <param name="destination">Where the zip file goes.</param>
    /// <param name="progress">Told the number of kernels compiled so far, from any thread.</param>
    /// <exception cref="KernelCompileException">A variant does not compile, or the compiler does not know a target.</exception>
    public static void Write(
        KernelList list, KernelSources sources, Nvrtc nvrtc, KernelCache? cache, PrebuiltKernels? known, Stream destination,
            Action<int> progress)
    {
        (KernelVariant Variant, string Target)[] entries = [.. list.Entries];
        var kernels = new (KernelTarget Target, string Key, byte[] Image)[entries.Length];
        var compiler = new KernelCompiler(sources, nvrtc, cache, known);
        int done = 0;
        try
        {
            // NVRTC holds a lock for long: without a limit the pool would add threads that wait.
            Parallel.For(0, entries.Length, new() { MaxDegreeOfParallelism = Environment.ProcessorCount }, i =>
            {
                var target = KernelTarget.Parse(entries[i].Target);
                if (!nvrtc.Architectures.Contains(target.ComputeCapability))
                {
                    throw new KernelCompileException(
                        $"{entries[i].Variant} is wanted for {target}, which NVRTC {nvrtc.Version} does not know; use a newer one");
                }

                string key = new KernelProgram(sources, entries[i].Variant).Key(target, nvrtc.Version);
                byte[] image = compiler.Compile(entries[i].Variant, entries[i].Target);
                kernels[i] = (target, key, target.IsMachineCode ? image : KernelProgram.WithoutFolders(image));
                progress(Interlocked.Increment(ref done));
            });
        }
        catch (AggregateException failures)
        {
            throw new KernelCompileException(string.Join("\n", failures.InnerExceptions.Select(e => e.Message).Distinct()));
        }
        Write(kernels, nvrtc.Version, destination);
    }

    /// <summary>Writes compiled kernels; those that follow each other should be alike.</summary>
    internal static void Write(IEnumerable<(KernelTarget Target, string Key, byte[] Image)> kernels, string compilerVersion,
        Stream destination)
    {
        var packer = new PtxPacker();
        var places = new StringBuilder();
        MemoryStream[] streams = [.. Enumerable.Range(0, PtxPacker.Streams).Select(_ => new MemoryStream())];
        foreach ((KernelTarget target, string key, byte[] image) in kernels)
        {
            byte[][] packed = packer.Pack(image);
            for (int s = 0; s < streams.Length; s++) streams[s].Write(packed[s]);
            string lengths = string.Join(" ", packed.Select(p => p.Length));
            places.Append(CultureInfo.InvariantCulture, $"{key} {target} {PrebuiltKernels.Checksum(image)} {lengths}\n");
        }
        byte[] lines = Encoding.Latin1.GetBytes(string.Join("\n", packer.Lines));
        (string Name, byte[] Content)[] entries =
        [
            (PrebuiltKernels.LinesName, lines),
            .. Enum.GetValues<PackedStream>().Select(s => (PrebuiltKernels.NameOf(s), streams[(int)s].ToArray())),
        ];
        using var zip = new ZipArchive(destination, ZipArchiveMode.Create, leaveOpen: true);
        string manifest = $"{PrebuiltKernels.Header}\ncompiler {compilerVersion}\nlines {lines.Length}\n{places}";
        Add(zip, PrebuiltKernels.ManifestName, Encoding.UTF8.GetBytes(manifest), CompressionLevel.SmallestSize);
        foreach ((string name, byte[] compressed) in entries.AsParallel().AsOrdered().Select(e => (e.Name, Compress(e.Content))))
            Add(zip, name, compressed, CompressionLevel.NoCompression);
    }

    private static byte[] Compress(byte[] content)
    {
        byte[] compressed = new byte[BrotliEncoder.GetMaxCompressedLength(content.Length)];
        if (!BrotliEncoder.TryCompress(content, compressed, out int written, Quality, WindowBits))
            throw new InvalidOperationException("Brotli refused its own bound");
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
