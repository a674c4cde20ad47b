using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/pairwise_cosine.cu</c>.</summary>
internal sealed class PairwiseCosineLaunch : OperatorLaunch<PairwiseCosine>
{
    protected override void Prepare(Node node, PairwiseCosine op, LaunchContext context)
    {
        Shape shape = node.Input(PairwiseCosine.X).Shape;
        context.Kernel("pairwise_cosine.cu", "pairwise_cosine_forward")
            .Read(node.Input(PairwiseCosine.X)).Write(node.Output)
            .Extent("ROWS", shape[0]).Extent("VECTORS", op.Vectors).Extent("D", shape[1] / op.Vectors)
            .Launch(1, Elementwise.Block, 4 * op.Vectors);
    }
}

/// <summary>Launches of <c>kernels/pairwise_cosine.cu</c>, backward: a block for each row.</summary>
internal sealed class PairwiseCosineGradLaunch : OperatorLaunch<PairwiseCosineGrad>
{
    protected override void Prepare(Node node, PairwiseCosineGrad op, LaunchContext context)
    {
        Shape shape = node.Input(PairwiseCosineGrad.X).Shape;
        int width = shape[1] / op.Vectors;
        context.Kernel("pairwise_cosine.cu", "pairwise_cosine_grad")
            .Read(node.Input(PairwiseCosineGrad.X)).Read(node.Input(PairwiseCosineGrad.Dloss)).Write(node.Output)
            .Extent("ROWS", shape[0]).Extent("VECTORS", op.Vectors).Extent("D", width)
            .Launch(shape[0], Elementwise.Block, 4 * (op.Vectors + width));
    }
}
