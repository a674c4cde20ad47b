using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Joins two tensors along their last dimension.</summary>
internal sealed unsafe class ConcatKernel : CpuKernel<Concat>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private const int PixelsPerTask = 256;
        private readonly int c1 = node.Input(Concat.A).Shape[^1];
        private readonly int c2 = node.Input(Concat.B).Shape[^1];
        private readonly int pixels = (int)(node.Output.Shape.Count / Math.Max(1, node.Output.Shape[^1]));
        private readonly float* a = context.Pointer(node.Input(Concat.A));
        private readonly float* b = context.Pointer(node.Input(Concat.B));
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "concat";

        public override int Tasks(int phase) => (pixels + PixelsPerTask - 1) / PixelsPerTask;

        public override void Run(int phase, int task, float* scratch)
        {
            int end = Math.Min(pixels, (task + 1) * PixelsPerTask);
            for (nint i = task * PixelsPerTask; i < end; i++)
            {
                new Span<float>(a + i * c1, c1).CopyTo(new Span<float>(y + i * (c1 + c2), c1));
                new Span<float>(b + i * c2, c2).CopyTo(new Span<float>(y + i * (c1 + c2) + c1, c2));
            }
        }
    }
}
