using System.Numerics;
using System.Runtime.InteropServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Max and average pool. Elements are taken in one order at every vector width, so the bits do not depend on it.</summary>
internal sealed unsafe class Pool2dKernel : CpuKernel<Pool2d>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => ((Pool2d)node.Operator).Kind switch
    {
        PoolKind.Max => new Launch(node, context, isMax: true),
        PoolKind.Average => new Launch(node, context, isMax: false),
        var other => throw GraphException.Unhandled(other),
    };

    private sealed class Launch(Node node, CpuContext context, bool isMax) : ImageRowsLaunch("pool", node.Output.Shape)
    {
        private readonly Pool2d pool = (Pool2d)node.Operator;
        private readonly int inHeight = node.Input(Pool2d.X).Shape[1];
        private readonly int inWidth = node.Input(Pool2d.X).Shape[2];
        private readonly float* x = context.Pointer(node.Input(Pool2d.X));
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            (int top, int bottom) = Window(y, inHeight);
            for (int i = 0; i < Width; i++, at += Channels)
            {
                (int left, int right) = Window(i, inWidth);
                var destination = new Span<float>(output + at, Channels);
                for (int h = top; h < bottom; h++)
                {
                    for (int w = left; w < right; w++)
                    {
                        var source = new ReadOnlySpan<float>(x + (((nint)n * inHeight + h) * inWidth + w) * Channels, Channels);
                        if (h == top && w == left) source.CopyTo(destination);
                        else if (isMax) Greater(source, destination);
                        else Sum(source, destination);
                    }
                }
                if (!isMax) Divide(destination, (bottom - top) * (right - left));
            }
        }

        // The part of a window that is inside the image.
        private (int First, int End) Window(int position, int extent)
        {
            int first = position * pool.Stride - pool.Padding;
            return (Math.Max(0, first), Math.Min(extent, first + pool.Kernel));
        }

        // Vector.Max and MathF.Max hand NaN on.
        private static void Greater(ReadOnlySpan<float> x, Span<float> y)
        {
            ReadOnlySpan<Vector<float>> from = MemoryMarshal.Cast<float, Vector<float>>(x);
            Span<Vector<float>> to = MemoryMarshal.Cast<float, Vector<float>>(y);
            for (int i = 0; i < to.Length; i++) to[i] = Vector.Max(to[i], from[i]);
            for (int i = to.Length * Vector<float>.Count; i < y.Length; i++) y[i] = MathF.Max(y[i], x[i]);
        }

        private static void Sum(ReadOnlySpan<float> x, Span<float> y)
        {
            ReadOnlySpan<Vector<float>> from = MemoryMarshal.Cast<float, Vector<float>>(x);
            Span<Vector<float>> to = MemoryMarshal.Cast<float, Vector<float>>(y);
            for (int i = 0; i < to.Length; i++) to[i] += from[i];
            for (int i = to.Length * Vector<float>.Count; i < y.Length; i++) y[i] += x[i];
        }

        private static void Divide(Span<float> y, int count)
        {
            for (int i = 0; i < y.Length; i++) y[i] /= count;
        }
    }
}
