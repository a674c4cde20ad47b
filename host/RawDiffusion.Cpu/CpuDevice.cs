using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RawDiffusion.Engine;

namespace RawDiffusion.Cpu;

/// <summary>Vector widths that the kernels are compiled for.</summary>
public enum SimdPath
{
    /// <summary>The widest that the processor has.</summary>
    Auto,
    /// <summary>512-bit vectors.</summary>
    Avx512,
    /// <summary>256-bit vectors.</summary>
    Avx2,
    /// <summary>128-bit vectors: SSE, NEON, or whatever the runtime makes of them.</summary>
    Vector128,
}

/// <summary>The CPU as a device: managed SIMD kernels and a persistent thread pool, no native library.</summary>
public sealed class CpuDevice : IDevice
{
    private readonly SimdPath path;

    /// <summary>Makes a device.</summary>
    /// <param name="threads">Number of threads; 0 for one on each core.</param>
    /// <param name="path">Vector width; tests force the narrower ones.</param>
    /// <param name="ranks">Processes that run graphs together with this one; the caller disposes it after the device.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative or absurd number of threads.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor lacks the forced path.</exception>
    public CpuDevice(int threads = 0, SimdPath path = SimdPath.Auto, ICommunicator? ranks = null)
    {
        if (threads is < 0 or > 1024)
            throw new ArgumentOutOfRangeException(nameof(threads), threads, "threads must be from 0 (one on each core) to 1024");
        this.path = path switch
        {
            SimdPath.Auto => Avx512F.IsSupported ? SimdPath.Avx512 : Vector256.IsHardwareAccelerated ? SimdPath.Avx2 : SimdPath.Vector128,
            SimdPath.Avx512 when !Avx512F.IsSupported => throw new PlatformNotSupportedException("this processor has no AVX-512"),
            SimdPath.Avx2 when !Vector256.IsHardwareAccelerated => throw new PlatformNotSupportedException("this processor has no AVX2"),
            SimdPath.Avx512 or SimdPath.Avx2 or SimdPath.Vector128 => path,
            _ => throw GraphException.Unhandled(path),
        };
        Ranks = ranks;
        Pool = new WorkerPool(threads == 0 ? Environment.ProcessorCount : threads);
    }

    /// <inheritdoc/>
    public string Description =>
        $"cpu ({path switch { SimdPath.Avx512 => "AVX-512", SimdPath.Avx2 => "AVX2", _ => "128-bit vectors" }}, {Pool.Threads} "
        + $"thread{(Pool.Threads == 1 ? "" : "s")})";

    internal WorkerPool Pool { get; }

    internal ICommunicator? Ranks { get; }

    /// <inheritdoc/>
    public IExecutable Compile(Graph graph, CompileOptions? options = null) =>
        new CpuExecutable(this, graph, options ?? new CompileOptions());

    /// <inheritdoc/>
    public void Dispose() => Pool.Dispose();

    internal CpuLaunch Prepare(Node node, CpuContext context)
    {
        var kernel = CpuKernel.For(node);
        return path switch
        {
            SimdPath.Avx512 => kernel.Prepare<Simd512, Vector512<float>>(node, context),
            SimdPath.Avx2 => kernel.Prepare<Simd256, Vector256<float>>(node, context),
            _ => kernel.Prepare<Simd128, Vector128<float>>(node, context),
        };
    }
}
