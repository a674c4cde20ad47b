using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Native;

/// <summary>
/// A library of NVIDIA's. It is looked for in the folders that CUDA_PATH and CUDA_HOME name, then where the system looks, then
/// where NVIDIA's installer puts it.
/// </summary>
public sealed partial class NativeLibraryFile : SystemLibrary
{
    /// <summary>
    /// The environment variable that says which run-time compiler is used: <c>off</c> is none, as on a machine without; all else is a
    /// file's name or path.
    /// </summary>
    public const string NvrtcVariable = "RAWDIFFUSION_NVRTC";

    internal const string DriverImport = "cuda";
    internal const string NvrtcImport = "nvrtc";
    internal const string CuBlasImport = "cublas";
    internal const string CuDnnImport = "cudnn";
    internal const string NcclImport = "nccl";

    // A P/Invoke class asks for its library here before its first call, so that the resolver is in place by then.
    static NativeLibraryFile()
    {
        NativeLibrary.SetDllImportResolver(typeof(NativeLibraryFile).Assembly, (import, _, _) => Imported(import)?.Handle ?? 0);
        ResolveManagedCuda();
    }

    internal NativeLibraryFile(string title, string advice, IReadOnlyList<string> names, params IReadOnlyList<string> needed)
        : base(title, advice, Places(names), needed) { }

    private NativeLibraryFile(IReadOnlyList<string> tried, string title, string advice) : base(title, advice, tried, NvrtcFunctions) { }

    /// <summary>NVIDIA's user-mode driver.</summary>
    public static NativeLibraryFile Driver { get; } = new("NVIDIA driver", "install NVIDIA's driver, 520 or newer",
        OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"]);

    /// <summary>The run-time compiler.</summary>
    public static NativeLibraryFile Nvrtc { get; } = Environment.GetEnvironmentVariable(NvrtcVariable) switch
    {
        null or "" => new("NVRTC", "it is part of the CUDA toolkit (11.2 or newer); set CUDA_PATH where it is in a folder of its own",
            OperatingSystem.IsWindows()
                ? ["nvrtc64_120_0.dll", "nvrtc64_130_0.dll", "nvrtc64_112_0.dll"]
                : ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so.11.2", "libnvrtc.so"],
            NvrtcFunctions),
        "off" => new([], "NVRTC", $"{NvrtcVariable} is off: unset it to compile kernels"),
        string chosen => new([chosen], "NVRTC", $"{NvrtcVariable} names it: correct it, or unset it to look in the usual places"),
    };

    /// <summary>NVIDIA's matrix products, for comparison only.</summary>
    public static NativeLibraryFile CuBlas { get; } = new("cuBLAS", "only comparisons need it; it is part of the CUDA toolkit",
        OperatingSystem.IsWindows()
            ? ["cublas64_12.dll", "cublas64_13.dll", "cublas64_11.dll"]
            : ["libcublas.so.12", "libcublas.so.13", "libcublas.so.11", "libcublas.so"]);

    /// <summary>NVIDIA's convolutions, for comparison only.</summary>
    public static NativeLibraryFile CuDnn { get; } = new(
        "cuDNN", "only comparisons need it; NVIDIA offers it for download beside the CUDA toolkit",
        OperatingSystem.IsWindows() ? ["cudnn64_9.dll", "cudnn64_8.dll"] : ["libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"]);

    /// <summary>NVIDIA's exchanges between GPUs of several processes. There is none for Windows.</summary>
    public static NativeLibraryFile Nccl { get; } = new("NCCL",
        "only training on several GPUs needs it, and goes through host memory without; NVIDIA's package is libnccl2",
        ["libnccl.so.2", "libnccl.so"], "ncclCommGetAsyncError");

    // What NVRTC before 11.2 lacks.
    private static string[] NvrtcFunctions => ["nvrtcGetSupportedArchs", "nvrtcGetCUBIN"];

    private static string[] Places(IReadOnlyList<string> names) =>
    [
        .. Folders("CUDA_PATH").Concat(Folders("CUDA_HOME")).SelectMany(folder => names.Select(name => Path.Combine(folder, name))),
        .. names, .. InstallerFolders().SelectMany(folder => names.Select(name => Path.Combine(folder, name))),
    ];

    /// <summary>
    /// The library that an import means; null for an import of others. Ours are plain; ManagedCuda's are names of Windows' files, for
    /// one version each, on all systems: <c>nvrtc64_120_0</c>.
    /// </summary>
    internal static NativeLibraryFile? Imported(string import) => import.Split("64_")[0] switch
    {
        DriverImport or "nvcuda" => Driver,
        NvrtcImport => Nvrtc,
        CuBlasImport => CuBlas,
        CuDnnImport => CuDnn,
        NcclImport => Nccl,
        _ => null,
    };

    // Empty but in a build with ManagedCuda.
    static partial void ResolveManagedCuda();

    private static string[] Folders(string variable)
    {
        string? root = Environment.GetEnvironmentVariable(variable);
        if (string.IsNullOrEmpty(root)) return [];
        return OperatingSystem.IsWindows()
            ? [Path.Combine(root, "bin", "x64"), Path.Combine(root, "bin")]
            : [Path.Combine(root, "lib64"), Path.Combine(root, "lib")];
    }

    private static string[] InstallerFolders() => OperatingSystem.IsWindows() ? [] : ["/usr/local/cuda/lib64"];
}
