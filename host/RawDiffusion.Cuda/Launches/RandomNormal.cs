using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/random_normal.cu</c>.</summary>
internal sealed class RandomNormalLaunch : OperatorLaunch<RandomNormal>
{
    protected override void Prepare(Node node, RandomNormal op, LaunchContext context)
    {
        int count = Elementwise.Count(node.Output);
        Value? first = node.Inputs[RandomNormal.First];
        // A first row may begin within a block of four numbers, which then adds up to three before it.
        int drawn = first is null ? count : count + 3;
        context.Kernel("random_normal.cu", "random_normal_forward")
            .Read(node.Input(RandomNormal.Step)).Read(first).Write(node.Output).Argument(op.Seed).Argument(op.Stream)
            .Extent("ROW", (int)op.RowLength).Extent("COUNT", count)
            .Launch((drawn + 4 * Elementwise.Block - 1) / (4 * Elementwise.Block), Elementwise.Block);
    }
}
