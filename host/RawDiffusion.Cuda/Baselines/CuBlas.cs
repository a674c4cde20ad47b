using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Baselines;

/// <summary>NVIDIA's matrix product, for comparison with our own.</summary>
public sealed unsafe partial class CuBlas : IDisposable
{
    // cublasOperation_t, cudaDataType, cublasComputeType_t, cublasGemmAlgo_t
    private const int OperationNone = 0, OperationTranspose = 1;
    private const int TypeF32 = 0, TypeF16 = 2, TypeBf16 = 14;
    private const int ComputeF32 = 68, ComputeTf32 = 77;
    private const int DefaultAlgorithm = -1;

    private readonly NvidiaDriver driver;
    private nint handle;

    /// <summary>Opens the library on a driver's GPU.</summary>
    /// <exception cref="CudaException">The library was not found, or does not start.</exception>
    public CuBlas(NvidiaDriver driver)
    {
        if (!NativeLibraryFile.CuBlas.IsFound) throw new CudaException("cublasCreate", "NOT_FOUND", NativeLibraryFile.CuBlas.Missing);
        this.driver = driver;
        driver.MakeCurrent();
        nint created;
        Check(cublasCreate_v2(&created), "cublasCreate");
        handle = created;
    }

    /// <summary>c = a b, or a transposed(b); all row by row, in device memory; sums in float32.</summary>
    /// <param name="precision">Storage of all three, and what the products may be rounded to.</param>
    /// <param name="m">Rows of a and c.</param>
    /// <param name="n">Columns of c.</param>
    /// <param name="k">Columns of a.</param>
    /// <param name="a">[m, k].</param>
    /// <param name="b">[k, n], or [n, k] when it is to be transposed.</param>
    /// <param name="transposeB">Whether it is, as the weights of a linear layer are.</param>
    /// <param name="c">[m, n], assigned.</param>
    /// <param name="stream">Where to queue it.</param>
    /// <exception cref="CudaException">The library refused.</exception>
    public void Multiply(Precision precision, int m, int n, int k, ulong a, ulong b, bool transposeB, ulong c, nint stream)
    {
        driver.MakeCurrent();
        Check(cublasSetStream_v2(handle, stream), "cublasSetStream");
        int type = precision switch
        {
            Precision.Bf16 => TypeBf16,
            Precision.Fp16 => TypeF16,
            Precision.Fp32 or Precision.Tf32 => TypeF32,
            _ => throw GraphException.Unhandled(precision),
        };
        float alpha = 1, beta = 0;
        // The library counts column by column: it sees every matrix transposed, and computes transposed(c) = transposed(b) transposed(a).
        Check(cublasGemmEx(handle, transposeB ? OperationTranspose : OperationNone, OperationNone, n, m, k,
            &alpha, b, type, transposeB ? k : n, a, type, k, &beta, c, type, n,
            precision == Precision.Tf32 ? ComputeTf32 : ComputeF32, DefaultAlgorithm), $"cublasGemmEx({m} x {n} x {k}, {precision})");
    }

    /// <summary>Closes the library.</summary>
    public void Dispose()
    {
        if (handle == 0) return;
        driver.MakeCurrent();
        Check(cublasDestroy_v2(handle), "cublasDestroy");
        handle = 0;
    }

    private static void Check(int status, string call)
    {
        if (status != 0) throw new CudaException(call, $"CUBLAS_STATUS {status}");
    }
}
