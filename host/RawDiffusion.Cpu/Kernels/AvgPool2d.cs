using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>2x2 average pool, through a group norm's affine and activation if asked.</summary>
internal sealed unsafe class AvgPool2dKernel : ActivatedKernel<AvgPool2d>
{
    protected override Activation ActivationOf(AvgPool2d op) => op.OnLoad;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F>(Node node, CpuContext context) : ImageRowsLaunch("avg pool", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly int inHeight = node.Input(AvgPool2d.X).Shape[1];
        private readonly int inWidth = node.Input(AvgPool2d.X).Shape[2];
        private readonly float* x = context.Pointer(node.Input(AvgPool2d.X));
        private readonly float* affine = context.PointerOrNull(node.Inputs[AvgPool2d.Affine]);
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            float* scales = affine == null ? null : affine + (nint)n * 2 * Channels;
            float* top = x + ((nint)n * inHeight + 2 * y) * inWidth * Channels;
            for (int i = 0; i < Width; i++, at += Channels, top += 2 * Channels)
                Pool(top, top + Channels, top + (nint)inWidth * Channels, top + ((nint)inWidth + 1) * Channels, output + at, scales);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Pool(float* a, float* b, float* c, float* d, float* destination, float* scales)
        {
            int i = 0;
            float* tail = stackalloc float[6 * S.Lanes];
            for (; i <= Channels - S.Lanes; i += S.Lanes)
                S.Store(Average(a + i, b + i, c + i, d + i, scales == null ? null : scales + i, scales + Channels + i), destination + i);
            if (i == Channels) return;
            for (int j = 0; j < Channels - i; j++)
            {
                (tail[j], tail[S.Lanes + j], tail[2 * S.Lanes + j], tail[3 * S.Lanes + j]) = (a[i + j], b[i + j], c[i + j], d[i + j]);
                if (scales != null) (tail[4 * S.Lanes + j], tail[5 * S.Lanes + j]) = (scales[i + j], scales[Channels + i + j]);
            }
            S.Store(Average(tail, tail + S.Lanes, tail + 2 * S.Lanes, tail + 3 * S.Lanes, scales == null ? null
                : tail + 4 * S.Lanes, tail + 5 * S.Lanes), tail);
            for (int j = 0; j < Channels - i; j++) destination[i + j] = tail[j];
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Average(float* a, float* b, float* c, float* d, float* scale, float* shift) =>
            S.Multiply(S.Add(S.Add(Read(a, scale, shift), Read(b, scale, shift)), S.Add(Read(c, scale, shift), Read(d, scale, shift))),
            S.Splat(0.25f));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Read(float* x, float* scale, float* shift)
        {
            V v = S.Load(x);
            if (scale != null) v = S.MultiplyAdd(v, S.Load(scale), S.Load(shift));
            return F.Apply(v);
        }
    }
}

/// <summary>A quarter of each output's gradient for each of its four inputs.</summary>
internal sealed unsafe class AvgPool2dGradInputKernel : CpuKernel<AvgPool2dGradInput>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImageRowsLaunch("avg pool grad", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* dy = context.Pointer(node.Input(AvgPool2dGradInput.Dy));
        private readonly float* dx = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            float* to = dx + at;
            if (y / 2 >= Height / 2)
            {
                new Span<float>(to, Width * Channels).Clear();
                return;
            }
            float* from = dy + ((nint)n * (Height / 2) + y / 2) * (Width / 2) * Channels;
            for (int i = 0; i < Width / 2; i++, from += Channels, to += 2 * Channels)
            {
                Elementwise.Scale<S, V>(from, 0.25f, to, Channels);
                new Span<float>(to, Channels).CopyTo(new Span<float>(to + Channels, Channels));
            }
            if (Width % 2 == 1) new Span<float>(to, Channels).Clear();
        }
    }
}
