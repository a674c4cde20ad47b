using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Baselines;

/// <summary>
/// What is used of cuDNN: its constants and structs here, its functions in CuDnnImports. Each function returns a
/// cudnnStatus_t, 0 on success. Sizes are given as N, C, H, W whatever the layout.
/// </summary>
internal static unsafe partial class CuDnnApi
{
    // cudnnTensorFormat_t, cudnnDataType_t, cudnnConvolutionMode_t, cudnnMathType_t
    public const int FormatNhwc = 1;
    public const int TypeF32 = 0, TypeF16 = 2, TypeBf16 = 9;
    public const int ModeCrossCorrelation = 1;
    public const int MathDefault = 0, MathTensorCores = 1, MathFma = 3;

    /// <summary>cudnnConvolutionFwdAlgoPerf_t: 48 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Measurement
    {
        public int Algorithm;
        public int Status;
        public float Milliseconds; // four bytes of padding follow
        public nuint Bytes;
        public int Determinism;
        public int MathType;
        public int Reserved0, Reserved1, Reserved2;
    }
}
