using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Philox normal numbers for the current step.</summary>
internal sealed unsafe class RandomNormalKernel : CpuKernel<RandomNormal>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ElementwiseLaunch("random normal", node.Output.Shape.Count)
    {
        private readonly RandomNormal op = (RandomNormal)node.Operator;
        private readonly int* step = (int*)context.Pointer(node.Input(RandomNormal.Step));
        private readonly int* firstRow = node.Inputs[RandomNormal.First] is { } first ? (int*)context.Pointer(first) : null;
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length)
        {
            long start = firstRow is null ? 0 : *firstRow * op.RowLength;
            Philox.Normal(new Span<float>(y + first, length), start + first, (uint)*step, op.Seed, op.Stream);
        }
    }
}
