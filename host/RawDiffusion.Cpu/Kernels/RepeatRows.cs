using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Copies each group's row to the rows of the group, adding their embeddings if there are any.</summary>
internal sealed unsafe class RepeatRowsKernel : CpuKernel<RepeatRows>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private const int PixelsPerTask = 256;
        private readonly RowGroups groups = ((RepeatRows)node.Operator).Groups;
        // A vector [N] has no channels: each of its rows is one number.
        private readonly int channels = node.Output.Shape.Rank > 1 ? node.Output.Shape[^1] : 1;
        private readonly int pixels = node.Output.Shape.Rank < 3 ? 1
            : (int)(node.Output.Shape.Count / Math.Max(1, (long)node.Output.Shape[0] * node.Output.Shape[^1]));
        private readonly float* x = context.Pointer(node.Input(RepeatRows.X));
        private readonly float* embedding = context.PointerOrNull(node.Inputs[RepeatRows.Embedding]);
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "repeat rows";

        private int TasksPerRow => (pixels + PixelsPerTask - 1) / PixelsPerTask;

        public override int Tasks(int phase) => groups.Rows * TasksPerRow;

        public override void Run(int phase, int task, float* scratch)
        {
            int row = task / TasksPerRow;
            int first = task % TasksPerRow * PixelsPerTask;
            int count = Math.Min(PixelsPerTask, pixels - first);
            float* source = x + ((nint)groups.Owner[row] * pixels + first) * channels;
            float* destination = y + ((nint)row * pixels + first) * channels;
            if (embedding == null)
            {
                new Span<float>(source, count * channels).CopyTo(new Span<float>(destination, count * channels));
                return;
            }
            for (int i = 0; i < count; i++, source += channels, destination += channels)
                Elementwise.Add<S, V>(source, embedding + (nint)row * channels, destination, channels);
        }
    }
}
