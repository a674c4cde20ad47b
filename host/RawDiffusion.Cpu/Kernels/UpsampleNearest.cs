using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Nearest upsampling by two.</summary>
internal sealed unsafe class UpsampleNearestKernel : CpuKernel<UpsampleNearest>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ImageRowsLaunch("upsample nearest", node.Output.Shape)
    {
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            float* row = x + ((nint)n * (Height / 2) + y / 2) * (Width / 2) * Channels;
            for (int i = 0; i < Width; i++, at += Channels)
                new Span<float>(row + i / 2 * Channels, Channels).CopyTo(new Span<float>(output + at, Channels));
        }
    }
}
