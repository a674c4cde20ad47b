using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;
using ManagedCuda.CudaDNN;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Baselines;

// The functions of CuDnnImports through ManagedCuda's declarations, whose handles hide what they hold.
internal static unsafe partial class CuDnnApi
{
    public static int cudnnCreate(nint* handle) => (int)CudaDNNNativeMethods.cudnnCreate(ref *(cudnnHandle*)handle);

    public static int cudnnDestroy(nint handle) => (int)CudaDNNNativeMethods.cudnnDestroy(Handle(handle));

    public static int cudnnSetStream(nint handle, nint stream) =>
        (int)CudaDNNNativeMethods.cudnnSetStream(Handle(handle), new() { Pointer = stream });

    public static int cudnnCreateTensorDescriptor(nint* tensor) =>
        (int)CudaDNNNativeMethods.cudnnCreateTensorDescriptor(ref *(cudnnTensorDescriptor*)tensor);

    public static int cudnnSetTensor4dDescriptor(nint tensor, int format, int type, int n, int c, int h, int w) =>
        (int)CudaDNNNativeMethods.cudnnSetTensor4dDescriptor(Tensor(tensor), (cudnnTensorFormat)format, (cudnnDataType)type, n, c, h, w);

    public static int cudnnDestroyTensorDescriptor(nint tensor) => (int)CudaDNNNativeMethods.cudnnDestroyTensorDescriptor(Tensor(tensor));

    public static int cudnnCreateFilterDescriptor(nint* filter) =>
        (int)CudaDNNNativeMethods.cudnnCreateFilterDescriptor(ref *(cudnnFilterDescriptor*)filter);

    public static int cudnnSetFilter4dDescriptor(nint filter, int type, int format, int k, int c, int h, int w) =>
        (int)CudaDNNNativeMethods.cudnnSetFilter4dDescriptor(Filter(filter), (cudnnDataType)type, (cudnnTensorFormat)format, k, c, h, w);

    public static int cudnnDestroyFilterDescriptor(nint filter) => (int)CudaDNNNativeMethods.cudnnDestroyFilterDescriptor(Filter(filter));

    public static int cudnnCreateConvolutionDescriptor(nint* convolution) =>
        (int)CudaDNNNativeMethods.cudnnCreateConvolutionDescriptor(ref *(cudnnConvolutionDescriptor*)convolution);

    public static int cudnnSetConvolution2dDescriptor(
        nint convolution, int padHeight, int padWidth, int strideHeight, int strideWidth,
        int dilationHeight, int dilationWidth, int mode, int computeType) =>
        (int)CudaDNNNativeMethods.cudnnSetConvolution2dDescriptor(Convolution(convolution), padHeight, padWidth, strideHeight, strideWidth,
            dilationHeight, dilationWidth, (cudnnConvolutionMode)mode, (cudnnDataType)computeType);

    public static int cudnnSetConvolutionMathType(nint convolution, int mathType) =>
        (int)CudaDNNNativeMethods.cudnnSetConvolutionMathType(Convolution(convolution), (cudnnMathType)mathType);

    public static int cudnnDestroyConvolutionDescriptor(nint convolution) =>
        (int)CudaDNNNativeMethods.cudnnDestroyConvolutionDescriptor(Convolution(convolution));

    // Our own: theirs has an array that is not marked [Out], and so loses what the library measured.
    [LibraryImport(NativeLibraryFile.CuDnnImport)]
    public static partial int cudnnFindConvolutionForwardAlgorithm(
        nint handle, nint input, nint filter, nint convolution, nint output, int requested, int* returned, Measurement* measurements);

    public static int cudnnGetConvolutionForwardWorkspaceSize(
        nint handle, nint input, nint filter, nint convolution, nint output, int algorithm, nuint* bytes) =>
        (int)CudaDNNNativeMethods.cudnnGetConvolutionForwardWorkspaceSize(
            Handle(handle), Tensor(input), Filter(filter), Convolution(convolution), Tensor(output), (cudnnConvolutionFwdAlgo)algorithm,
            ref *(SizeT*)bytes);

    public static int cudnnConvolutionForward(
        nint handle, float* alpha, nint input, ulong x, nint filter, ulong w, nint convolution, int algorithm,
        ulong workspace, nuint workspaceBytes, float* beta, nint output, ulong y) =>
        (int)CudaDNNNativeMethods.cudnnConvolutionForward(
            Handle(handle), ref *alpha, Tensor(input), At(x), Filter(filter), At(w), Convolution(convolution),
            (cudnnConvolutionFwdAlgo)algorithm, At(workspace), workspaceBytes, ref *beta, Tensor(output), At(y));

    private static cudnnHandle Handle(nint handle) => Unsafe.BitCast<nint, cudnnHandle>(handle);

    private static cudnnTensorDescriptor Tensor(nint tensor) => Unsafe.BitCast<nint, cudnnTensorDescriptor>(tensor);

    private static cudnnFilterDescriptor Filter(nint filter) => Unsafe.BitCast<nint, cudnnFilterDescriptor>(filter);

    private static cudnnConvolutionDescriptor Convolution(nint convolution) =>
        Unsafe.BitCast<nint, cudnnConvolutionDescriptor>(convolution);

    private static CUdeviceptr At(ulong address) => new() { Pointer = address };
}
