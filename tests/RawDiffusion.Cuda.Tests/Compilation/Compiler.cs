using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Tests.Compilation;

/// <summary>The compiler of this machine, and small sources for it.</summary>
internal static class Compiler
{
    public const string Scale = """
        #include "common.cuh"
        #ifdef SCALE_FORWARD
        extern "C" __global__ void scale_forward(const float* x, float* y, int n)
        {
            int i = blockIdx.x * BLOCK + threadIdx.x;
            if (i < n) y[i] = twice(x[i]) * FACTOR;
        }
        #endif
        #ifdef SCALE_BACKWARD
        extern "C" __global__ void scale_backward(const float* dy, float* dx)
        {
            dx[threadIdx.x] = dy[threadIdx.x] * undeclared;
        }
        #endif

        """;

    public const string Common = """
        #pragma once
        __device__ inline float twice(float x) { return x + x; }

        """;

    public static KernelSources Sources { get; } = Of(("scale.cu", Scale), ("common.cuh", Common));

    public static KernelVariant ScaleForward { get; } = new("scale.cu", "scale_forward", [("BLOCK", "128"), ("FACTOR", "3.0f")]);

    /// <summary>NVRTC; the running test is skipped where there is none.</summary>
    public static Nvrtc Nvrtc
    {
        get
        {
            if (!NativeLibraryFile.Nvrtc.IsFound) Assert.Ignore(NativeLibraryFile.Nvrtc.Missing);
            return Nvrtc.Find()!;
        }
    }

    public static KernelSources Of(params (string Name, string Content)[] files) => new(files.ToDictionary(f => f.Name, f => f.Content));
}
