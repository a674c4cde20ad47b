using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Drops what the current step's Philox words say, and scales the rest.</summary>
internal sealed unsafe class DropoutKernel : CpuKernel<Dropout>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ElementwiseLaunch("dropout", node.Output.Shape.Count)
    {
        private readonly Dropout op = (Dropout)node.Operator;
        private readonly float kept = (float)(1 / (1 - (double)((Dropout)node.Operator).Rate));
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly int* step = (int*)context.Pointer(node.Input(1));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length)
        {
            uint threshold = op.Threshold;
            for (int i = 0; i < length; i += 4)
            {
                (uint a, uint b, uint c, uint d) = Philox.Block((uint)((first + i) / 4), 0, (uint)*step, 0, op.Seed, op.Stream);
                float* from = x + first + i, to = y + first + i;
                int left = length - i;
                to[0] = a < threshold ? 0 : from[0] * kept;
                if (left > 1) to[1] = b < threshold ? 0 : from[1] * kept;
                if (left > 2) to[2] = c < threshold ? 0 : from[2] * kept;
                if (left > 3) to[3] = d < threshold ? 0 : from[3] * kept;
            }
        }
    }
}
