using ManagedCuda.BasicTypes;
using ManagedCuda.CudaBlas;

namespace RawDiffusion.Cuda.Baselines;

// The functions of CuBlasImports through ManagedCuda's declarations.
public sealed unsafe partial class CuBlas
{
    private static int cublasCreate_v2(nint* handle) => (int)CudaBlasNativeMethods.cublasCreate_v2(ref *(CudaBlasHandle*)handle);

    private static int cublasDestroy_v2(nint handle) => (int)CudaBlasNativeMethods.cublasDestroy_v2(Handle(handle));

    private static int cublasSetStream_v2(nint handle, nint stream) =>
        (int)CudaBlasNativeMethods.cublasSetStream_v2(Handle(handle), new() { Pointer = stream });

    private static int cublasGemmEx(
        nint handle, int operationA, int operationB, int m, int n, int k, float* alpha, ulong a, int typeA, int strideA,
        ulong b, int typeB, int strideB, float* beta, ulong c, int typeC, int strideC, int computeType, int algorithm) =>
        (int)CudaBlasNativeMethods.cublasGemmEx(Handle(handle), (Operation)operationA, (Operation)operationB, m, n, k, (nint)alpha, At(a),
        (cudaDataType)typeA, strideA,
            At(b), (cudaDataType)typeB, strideB, (nint)beta, At(c), (cudaDataType)typeC, strideC, (ComputeType)computeType,
            (GemmAlgo)algorithm);

    private static CudaBlasHandle Handle(nint handle) => new() { Pointer = handle };

    private static CUdeviceptr At(ulong address) => new() { Pointer = address };
}
