using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Engine;
using static RawDiffusion.Cuda.Baselines.CuDnnApi;

namespace RawDiffusion.Cuda.Baselines;

/// <summary>A two-dimensional convolution as NVIDIA's library and ours see it: NHWC, square strides and paddings.</summary>
/// <param name="Batch">Images.</param>
/// <param name="Height">Rows of the input.</param>
/// <param name="Width">Columns of the input.</param>
/// <param name="InputChannels">C.</param>
/// <param name="OutputChannels">K.</param>
/// <param name="Kernel">Rows and columns of the filter.</param>
/// <param name="Stride">Distance of the filter's places.</param>
/// <param name="Padding">Zeros around the input.</param>
public readonly record struct ConvolutionShape(
    int Batch, int Height, int Width, int InputChannels, int OutputChannels, int Kernel, int Stride, int Padding)
{
    /// <summary>Rows of the output.</summary>
    public int OutputHeight => (Height + 2 * Padding - Kernel) / Stride + 1;

    /// <summary>Columns of the output.</summary>
    public int OutputWidth => (Width + 2 * Padding - Kernel) / Stride + 1;
}

/// <summary>NVIDIA's convolution of one shape, for comparison with our own.</summary>
public sealed unsafe class CuDnn : IDisposable
{
    private const int CandidateCount = 8;

    private readonly NvidiaDriver driver;
    private readonly int algorithm;
    private readonly ulong workspace;
    private readonly nuint workspaceBytes;
    private nint handle, input, filter, output, convolution;

    /// <summary>Opens the library and lets it measure which of its algorithms is fastest.</summary>
    /// <param name="driver">The GPU.</param>
    /// <param name="shape">Of the convolution.</param>
    /// <param name="precision">Storage of input, filter and output, and what the products may be rounded to.</param>
    /// <exception cref="CudaException">The library was not found, does not start, or has no algorithm for the shape.</exception>
    public CuDnn(NvidiaDriver driver, ConvolutionShape shape, Precision precision)
    {
        if (!NativeLibraryFile.CuDnn.IsFound) throw new CudaException("cudnnCreate", "NOT_FOUND", NativeLibraryFile.CuDnn.Missing);
        this.driver = driver;
        try
        {
            Describe(shape, precision);
            algorithm = FastestAlgorithm(shape, precision);
            nuint bytes;
            Check(cudnnGetConvolutionForwardWorkspaceSize(handle, input, filter, convolution, output, algorithm, &bytes),
                "cudnnGetConvolutionForwardWorkspaceSize");
            workspaceBytes = bytes;
            if (bytes > 0) workspace = driver.Allocate((long)bytes);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>y = x convolved with w, without bias.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="w">[K, R, S, C].</param>
    /// <param name="y">[N, P, Q, K], assigned.</param>
    /// <param name="stream">Where to queue it.</param>
    /// <exception cref="CudaException">The library refused.</exception>
    public void Run(ulong x, ulong w, ulong y, nint stream)
    {
        driver.MakeCurrent();
        Check(cudnnSetStream(handle, stream), "cudnnSetStream");
        float alpha = 1, beta = 0;
        Check(cudnnConvolutionForward(handle, &alpha, input, x, filter, w, convolution, algorithm, workspace, workspaceBytes, &beta, output,
            y), "cudnnConvolutionForward");
    }

    /// <summary>Frees the workspace and closes the library.</summary>
    public void Dispose()
    {
        if (handle == 0) return;
        driver.MakeCurrent();
        if (workspace != 0) driver.Free(workspace);
        if (convolution != 0) Check(cudnnDestroyConvolutionDescriptor(convolution), "cudnnDestroyConvolutionDescriptor");
        if (filter != 0) Check(cudnnDestroyFilterDescriptor(filter), "cudnnDestroyFilterDescriptor");
        foreach (nint tensor in new[] { input, output })
        {
            if (tensor != 0) Check(cudnnDestroyTensorDescriptor(tensor), "cudnnDestroyTensorDescriptor");
        }
        Check(cudnnDestroy(handle), "cudnnDestroy");
        handle = 0;
    }

    private static void Check(int status, string call)
    {
        if (status != 0) throw new CudaException(call, $"CUDNN_STATUS {status}");
    }

    private void Describe(ConvolutionShape shape, Precision precision)
    {
        driver.MakeCurrent();
        nint made;
        Check(cudnnCreate(&made), "cudnnCreate");
        handle = made;
        int type = precision switch
        {
            Precision.Bf16 => TypeBf16,
            Precision.Fp16 => TypeF16,
            Precision.Fp32 or Precision.Tf32 => TypeF32,
            _ => throw GraphException.Unhandled(precision),
        };
        input = Tensor(type, shape.Batch, shape.InputChannels, shape.Height, shape.Width);
        output = Tensor(type, shape.Batch, shape.OutputChannels, shape.OutputHeight, shape.OutputWidth);
        Check(cudnnCreateFilterDescriptor(&made), "cudnnCreateFilterDescriptor");
        filter = made;
        Check(cudnnSetFilter4dDescriptor(filter, type, FormatNhwc, shape.OutputChannels, shape.InputChannels, shape.Kernel, shape.Kernel),
            "cudnnSetFilter4dDescriptor");
        Check(cudnnCreateConvolutionDescriptor(&made), "cudnnCreateConvolutionDescriptor");
        convolution = made;
        Check(cudnnSetConvolution2dDescriptor(convolution, shape.Padding, shape.Padding, shape.Stride, shape.Stride, 1, 1,
            ModeCrossCorrelation, TypeF32), "cudnnSetConvolution2dDescriptor");
        Check(cudnnSetConvolutionMathType(convolution, precision switch
        {
            Precision.Fp32 => MathFma,
            Precision.Tf32 => MathDefault, // which rounds float32 operands to TF32
            Precision.Bf16 or Precision.Fp16 => MathTensorCores,
            _ => throw GraphException.Unhandled(precision),
        }), "cudnnSetConvolutionMathType");
    }

    private nint Tensor(int type, int n, int c, int h, int w)
    {
        nint tensor;
        Check(cudnnCreateTensorDescriptor(&tensor), "cudnnCreateTensorDescriptor");
        Check(cudnnSetTensor4dDescriptor(tensor, FormatNhwc, type, n, c, h, w), "cudnnSetTensor4dDescriptor");
        return tensor;
    }

    private int FastestAlgorithm(ConvolutionShape shape, Precision precision)
    {
        int found;
        Measurement* candidates = stackalloc Measurement[CandidateCount];
        Check(cudnnFindConvolutionForwardAlgorithm(handle, input, filter, convolution, output, CandidateCount, &found, candidates),
            $"cudnnFindConvolutionForwardAlgorithm({shape}, {precision})");
        // They come sorted by time; those that failed have a status.
        if (found == 0 || candidates[0].Status != 0)
            throw new CudaException("cudnnFindConvolutionForwardAlgorithm", "NOT_SUPPORTED", $"no algorithm for {shape} in {precision}");
        return candidates[0].Algorithm;
    }
}
