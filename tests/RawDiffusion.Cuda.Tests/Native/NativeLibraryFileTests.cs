using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Tests.Native;

public sealed class NativeLibraryFileTests
{
    /// <summary>Its own, and those of ManagedCuda 12.8 and ManagedCuda-CUDNN 7.6.5.</summary>
    [TestCase("cuda", "NVIDIA driver")]
    [TestCase("nvcuda", "NVIDIA driver")]
    [TestCase("nvrtc", "NVRTC")]
    [TestCase("nvrtc64_120_0", "NVRTC")]
    [TestCase("cublas", "cuBLAS")]
    [TestCase("cublas64_12", "cuBLAS")]
    [TestCase("cudnn", "cuDNN")]
    [TestCase("cudnn64_7.dll", "cuDNN")]
    [TestCase("nccl", "NCCL")]
    [TestCase("cublasLt64_12", null)]
    [TestCase("mpi", null)]
    [TestCase("", null)]
    public void An_import_means_a_library_or_is_not_ours(string import, string? title) =>
        Assert.That(NativeLibraryFile.Imported(import)?.Title, Is.EqualTo(title));
}
