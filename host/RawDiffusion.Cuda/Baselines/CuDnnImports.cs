using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Baselines;

// 8.x and 9.x export all of these.
internal static unsafe partial class CuDnnApi
{
    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnCreate(nint* handle);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnDestroy(nint handle);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnSetStream(nint handle, nint stream);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnCreateTensorDescriptor(nint* tensor);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnSetTensor4dDescriptor(nint tensor, int format, int type, int n, int c, int h, int w);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnDestroyTensorDescriptor(nint tensor);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnCreateFilterDescriptor(nint* filter);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnSetFilter4dDescriptor(nint filter, int type, int format, int k, int c, int h, int w);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnDestroyFilterDescriptor(nint filter);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnCreateConvolutionDescriptor(nint* convolution);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnSetConvolution2dDescriptor(
        nint convolution, int padHeight, int padWidth, int strideHeight, int strideWidth,
        int dilationHeight, int dilationWidth, int mode, int computeType);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnSetConvolutionMathType(nint convolution, int mathType);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnDestroyConvolutionDescriptor(nint convolution);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnFindConvolutionForwardAlgorithm(
        nint handle, nint input, nint filter, nint convolution, nint output, int requested, int* returned, Measurement* measurements);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnGetConvolutionForwardWorkspaceSize(
        nint handle, nint input, nint filter, nint convolution, nint output, int algorithm, nuint* bytes);

    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnConvolutionForward(
        nint handle, float* alpha, nint input, ulong x, nint filter, ulong w, nint convolution, int algorithm,
        ulong workspace, nuint workspaceBytes, float* beta, nint output, ulong y);
}
