using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Sum over all leading dimensions: tasks sum shares of the rows, each in blocks so that few numbers are added to one sum,
/// and a last phase adds the shares in their order.
/// </summary>
internal sealed class ChannelSumKernel : CpuKernel<ChannelSum>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed unsafe class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private const int Block = 64;
        private const int RowsPerTask = 16 * Block;
        private readonly float* x;
        private readonly float* y;
        private readonly int rows;
        private readonly int channels;
        private readonly Workspace workspace;

        public Launch(Node node, CpuContext context)
        {
            Shape shape = node.Input(ChannelSum.X).Shape;
            channels = shape[^1];
            rows = channels == 0 ? 0 : checked((int)(shape.Count / channels));
            x = context.Pointer(node.Input(ChannelSum.X));
            y = context.Pointer(node.Output);
            workspace = context.Workspace;
            workspace.Reserve((long)Shares * channels);
        }

        public override string Description => "channel sum";

        public override int Phases => 2;

        private int Shares => (rows + RowsPerTask - 1) / RowsPerTask;

        public override int Tasks(int phase) => phase == 0 ? Shares : 1;

        public override void Run(int phase, int task, float* scratch)
        {
            if (phase == 1)
            {
                Sum(workspace.Pointer, Shares, y, accumulate: false);
                return;
            }
            int first = task * RowsPerTask, end = Math.Min(rows, first + RowsPerTask);
            for (int row = first; row < end; row += Block)
            {
                Sum(x + (nint)row * channels, Math.Min(Block, end - row), workspace.Pointer + (nint)task * channels,
                    accumulate: row > first);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Sum(float* from, int count, float* to, bool accumulate)
        {
            int c = 0;
            for (; c <= channels - S.Lanes; c += S.Lanes)
            {
                V sum = S.Zero;
                for (nint i = 0; i < count; i++) sum = S.Add(sum, S.Load(from + i * channels + c));
                S.Store(accumulate ? S.Add(S.Load(to + c), sum) : sum, to + c);
            }
            for (; c < channels; c++)
            {
                float sum = 0;
                for (nint i = 0; i < count; i++) sum += from[i * channels + c];
                to[c] = accumulate ? to[c] + sum : sum;
            }
        }
    }
}
