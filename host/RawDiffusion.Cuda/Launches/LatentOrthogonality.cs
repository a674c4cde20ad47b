using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/latent_orthogonality.cu</c>.</summary>
internal sealed class LatentOrthogonalityLaunch : OperatorLaunch<LatentOrthogonality>
{
    protected override void Prepare(Node node, LatentOrthogonality op, LaunchContext context)
    {
        Shape shape = node.Input(0).Shape;
        context.Kernel("latent_orthogonality.cu", "latent_orthogonality_forward")
            .Read(node.Input(0)).Write(node.Output)
            .Extent("IMAGES", shape[0]).Extent("FACTORS", op.Factors).Extent("D", shape[1] / op.Factors)
            .Launch(1, Elementwise.Block, 4 * op.Factors);
    }
}

/// <summary>Launches of <c>kernels/latent_orthogonality.cu</c>, backward: a block for each image.</summary>
internal sealed class LatentOrthogonalityGradLaunch : OperatorLaunch<LatentOrthogonalityGrad>
{
    protected override void Prepare(Node node, LatentOrthogonalityGrad op, LaunchContext context)
    {
        Shape shape = node.Input(0).Shape;
        int width = shape[1] / op.Factors;
        context.Kernel("latent_orthogonality.cu", "latent_orthogonality_grad")
            .Read(node.Input(0)).Read(node.Input(1)).Write(node.Output)
            .Extent("IMAGES", shape[0]).Extent("FACTORS", op.Factors).Extent("D", width)
            .Launch(shape[0], Elementwise.Block, 4 * (op.Factors + width));
    }
}
