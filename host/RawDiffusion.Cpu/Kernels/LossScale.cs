using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Three numbers.</summary>
internal sealed unsafe class LossScaleKernel : CpuKernel<LossScale>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly float* state = context.Pointer(node.Input(LossScale.State));
        private readonly float* norm = context.Pointer(node.Input(LossScale.Norm));
        private readonly float* next = context.Pointer(node.Output);

        public override string Description => "loss scale";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch)
        {
            (float scale, float row, float skipped) = (state[LossScale.Scale], state[LossScale.Row], state[LossScale.Skipped]);
            if (!float.IsFinite(*norm)) (scale, row, skipped) = (scale / 2, 0, skipped + 1);
            else if (++row >= LossScale.Interval) (scale, row) = (float.IsFinite(2 * scale) ? 2 * scale : scale, 0);
            (next[LossScale.Scale], next[LossScale.Row], next[LossScale.Skipped]) = (scale, row, skipped);
        }
    }
}
