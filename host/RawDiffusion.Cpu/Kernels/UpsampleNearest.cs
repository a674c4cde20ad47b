using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Nearest upsampling by two.</summary>
internal sealed unsafe class UpsampleNearestKernel : CpuKernel<UpsampleNearest>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ImageRowsLaunch("upsample nearest", node.Output.Shape)
    {
        private readonly float* x = context.Pointer(node.Input(UpsampleNearest.X));
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            float* row = x + ((nint)n * (Height / 2) + y / 2) * (Width / 2) * Channels;
            for (int i = 0; i < Width; i++, at += Channels)
                new Span<float>(row + i / 2 * Channels, Channels).CopyTo(new Span<float>(output + at, Channels));
        }
    }
}

/// <summary>The sum of the four gradients of each input's copies.</summary>
internal sealed unsafe class UpsampleNearestGradInputKernel : CpuKernel<UpsampleNearestGradInput>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImageRowsLaunch("upsample nearest grad", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* dy = context.Pointer(node.Input(UpsampleNearestGradInput.Dy));
        private readonly float* dx = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Row(int n, int y, nint at)
        {
            nint below = 2 * (nint)Width * Channels;
            float* from = dy + 4 * (at - (nint)y * Width * Channels) + 2 * y * below;
            float* to = dx + at;
            for (int i = 0; i < Width; i++, from += 2 * Channels, to += Channels)
            {
                for (int c = 0; c < Channels; c += S.Lanes)
                {
                    int left = Channels - c;
                    float* p = from + c;
                    V top = S.Add(Part<S, V>.Load(p, left), Part<S, V>.Load(p + Channels, left));
                    V bottom = S.Add(Part<S, V>.Load(p + below, left), Part<S, V>.Load(p + below + Channels, left));
                    Part<S, V>.Store(S.Add(top, bottom), to + c, left);
                }
            }
        }
    }
}
