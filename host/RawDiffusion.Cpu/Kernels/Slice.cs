using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Copies a range of channels.</summary>
internal sealed unsafe class SliceKernel : CpuKernel<Slice>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private const int PixelsPerTask = 256;
        private readonly Slice op = (Slice)node.Operator;
        private readonly int channels = node.Input(Slice.X).Shape[^1];
        private readonly int pixels = (int)node.Output.Shape.WithChannels(1).Count;
        private readonly float* x = context.Pointer(node.Input(Slice.X));
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "slice";

        public override int Tasks(int phase) => (pixels + PixelsPerTask - 1) / PixelsPerTask;

        public override void Run(int phase, int task, float* scratch)
        {
            int end = Math.Min(pixels, (task + 1) * PixelsPerTask);
            for (nint i = task * PixelsPerTask; i < end; i++)
                new Span<float>(x + i * channels + op.Start, op.Count).CopyTo(new Span<float>(y + i * op.Count, op.Count));
        }
    }
}
