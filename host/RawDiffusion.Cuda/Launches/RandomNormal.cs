using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/random_normal.cu</c>.</summary>
internal sealed class RandomNormalLaunch : OperatorLaunch<RandomNormal>
{
    protected override void Prepare(Node node, RandomNormal op, LaunchContext context)
    {
        int count = Elementwise.Count(node.Output);
        context.Kernel("random_normal.cu", "random_normal_forward")
            .Read(node.Input(RandomNormal.Step)).Write(node.Output).Argument(op.Seed).Argument(op.Stream).Extent("COUNT", count)
            .Launch((count + 4 * Elementwise.Block - 1) / (4 * Elementwise.Block), Elementwise.Block);
    }
}
