using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Baselines;

// The functions of cuBLAS that are used; 11.x, 12.x and 13.x export all of them. Each returns a cublasStatus_t, 0 on success.
public sealed unsafe partial class CuBlas
{
    [LibraryImport(NativeLibraryFile.CuBlasImport)]
    private static partial int cublasCreate_v2(nint* handle);

    [LibraryImport(NativeLibraryFile.CuBlasImport)]
    private static partial int cublasDestroy_v2(nint handle);

    [LibraryImport(NativeLibraryFile.CuBlasImport)]
    private static partial int cublasSetStream_v2(nint handle, nint stream);

    [LibraryImport(NativeLibraryFile.CuBlasImport)]
    private static partial int cublasGemmEx(
        nint handle, int operationA, int operationB, int m, int n, int k, float* alpha, ulong a, int typeA, int strideA,
        ulong b, int typeB, int strideB, float* beta, ulong c, int typeC, int strideC, int computeType, int algorithm);
}
