using System.Globalization;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cli;

/// <summary>What <c>doctor</c> says about GPUs, their compiler and compiled kernels.</summary>
internal static class GpuFindings
{
    public static IEnumerable<Finding> All()
    {
        yield return new("GPU driver", NvidiaDriver.SupportedCuda() is { } cuda
            ? $"{NativeLibraryFile.Driver.FoundAt}, for CUDA {cuda} and older" : Library(NativeLibraryFile.Driver));
        IReadOnlyList<string> gpus = Gpus();
        for (int i = 0; i < gpus.Count; i++) yield return new(i == 0 ? "GPU" : $"GPU {i}", gpus[i]);
        yield return new("NVRTC", Compiler());
        yield return new("kernel cache", Cache());
        yield return new("prebuilt kernels", Prebuilt());
        yield return new("NCCL", Nccl.Installed is { } nccl ? $"{nccl}, {NativeLibraryFile.Nccl.FoundAt}"
            : Library(NativeLibraryFile.Nccl));
        yield return new("cuBLAS", Library(NativeLibraryFile.CuBlas));
        yield return new("cuDNN", Library(NativeLibraryFile.CuDnn));
    }

    private static string Library(NativeLibraryFile library) => library.FoundAt ?? library.Missing;

    private static IReadOnlyList<string> Gpus()
    {
        try
        {
            return [.. NvidiaDriver.Devices().Select(d => string.Create(CultureInfo.InvariantCulture,
                $"{d.Name}, compute capability {d.ComputeCapability / 10}.{d.ComputeCapability % 10}, {d.Multiprocessors} multiprocessors, "
                + $"{d.MemoryBytes / 1073741824.0:0.0} GiB"))];
        }
        catch (CudaException exception)
        {
            return [exception.Message];
        }
    }

    private static string Compiler()
    {
        try
        {
            if (Nvrtc.Find() is not { } nvrtc) return NativeLibraryFile.Nvrtc.Missing;
            // It loads a second library when it first compiles, and not every installation has that.
            var probe = new KernelSources(new Dictionary<string, string> { ["probe.cu"] = "extern \"C\" __global__ void probe() {}" });
            new KernelCompiler(probe, nvrtc).Compile(new("probe.cu", "probe", []), $"sm_{nvrtc.Architectures.Max()}");
            return $"{nvrtc.Version}, {NativeLibraryFile.Nvrtc.FoundAt}, for compute capabilities up to "
                + $"{nvrtc.Architectures.Max() / 10}.{nvrtc.Architectures.Max() % 10}";
        }
        catch (KernelCompileException exception)
        {
            return exception.Message;
        }
    }

    private static string Cache()
    {
        if (KernelCache.OfUser is not { } cache)
        {
            return $"none: this user has no home folder; set {KernelCache.FolderVariable} to a folder, or kernels are compiled at "
                + "each start";
        }
        (int count, long bytes) = cache.Size();
        string advice = cache.IsWritable() ? ""
            : $"; cannot be written: set {KernelCache.FolderVariable} to another folder, or kernels are compiled at each start";
        return string.Create(CultureInfo.InvariantCulture, $"{cache.Folder}, {count} kernels, {bytes / 1048576.0:0.0} MiB{advice}");
    }

    private static string Prebuilt() => PrebuiltKernels.Embedded is { } prebuilt
        ? $"{prebuilt.Count} by NVRTC {prebuilt.CompilerVersion} for {string.Join(", ", prebuilt.Targets)}"
        : "none in this build: kernels have to be compiled by NVRTC";
}
