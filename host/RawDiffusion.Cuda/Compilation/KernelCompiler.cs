using System.Collections.Concurrent;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Gives compiled kernels: from memory, from the user's cache folder, from those that travel with the command, or from
/// NVRTC, in this order. Thread-safe: several threads may compile at once, and each variant is compiled once.
/// </summary>
/// <remarks>
/// Keys hold the compiler's version. With NVRTC it is NVRTC's, so a machine whose NVRTC is another than that of the prebuilt
/// kernels compiles its own; without NVRTC it is the prebuilt kernels', and any of them that the device can run will do.
/// </remarks>
public sealed class KernelCompiler : IKernelCompiler
{
    private readonly KernelSources sources;
    private readonly Nvrtc? nvrtc;
    private readonly KernelCache? cache;
    private readonly PrebuiltKernels? prebuilt;
    private readonly KernelRecorder? recorder;
    private readonly ConcurrentDictionary<(KernelVariant Variant, string Target), Lazy<byte[]>> compiled = new();

    /// <summary>Compiles the kernels that travel in this assembly with what this machine has.</summary>
    /// <exception cref="KernelCompileException">There is an NVRTC, and it does not work.</exception>
    public KernelCompiler() : this(
        KernelSources.Embedded, Nvrtc.Find(), KernelCache.OfUser, PrebuiltKernels.Embedded, KernelRecorder.OfEnvironment)
    { }

    /// <summary>Compiles with what is given.</summary>
    /// <param name="sources">The kernels' files.</param>
    /// <param name="nvrtc">The compiler, if there is one.</param>
    /// <param name="cache">Where compiled kernels are kept, if anywhere.</param>
    /// <param name="prebuilt">Kernels that were compiled before, if any.</param>
    /// <param name="recorder">Told what is asked for.</param>
    public KernelCompiler(KernelSources sources, Nvrtc? nvrtc, KernelCache? cache = null, PrebuiltKernels? prebuilt = null,
        KernelRecorder? recorder = null)
    {
        this.sources = sources;
        this.nvrtc = nvrtc;
        this.cache = cache;
        this.prebuilt = prebuilt;
        this.recorder = recorder;
    }

    /// <inheritdoc/>
    /// <remarks>Not while it records: what is recorded is to be compiled before its shapes are known.</remarks>
    public bool CanCompile => nvrtc is not null && recorder is null;

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The target is none.</exception>
    public byte[] Compile(KernelVariant variant, string target)
    {
        recorder?.Add(variant, target);
        Lazy<byte[]> image = compiled.GetOrAdd(
            (variant, target), _ => new(() => Find(new(sources, variant), variant, KernelTarget.Parse(target))));
        try
        {
            return image.Value;
        }
        catch
        {
            // A failure that passes, such as short memory, is not remembered for ever.
            compiled.TryRemove(new((variant, target), image));
            throw;
        }
    }

    private byte[] Find(KernelProgram program, KernelVariant variant, KernelTarget target)
    {
        if (nvrtc is null)
        {
            return FindCompiled(program, target) ?? throw new KernelCompileException(
                $"{variant} for {target} is not among the compiled kernels, and cannot be compiled: {NativeLibraryFile.Nvrtc.Missing}");
        }
        KernelTarget able = target.For(nvrtc.Architectures);
        string key = program.Key(able, nvrtc.Version);
        if (Cached(key) is { } known) return known;
        byte[] image = program.Compile(nvrtc, able);
        cache?.Write(key, image);
        return image;
    }

    private byte[]? FindCompiled(KernelProgram program, KernelTarget target)
    {
        if (prebuilt is null) return null;
        return prebuilt.Targets.Where(target.CanRun)
            .Select(t => Cached(program.Key(t, prebuilt.CompilerVersion)))
            .FirstOrDefault(image => image is not null);
    }

    private byte[]? Cached(string key) => cache?.Read(key) ?? prebuilt?.Read(key);
}
