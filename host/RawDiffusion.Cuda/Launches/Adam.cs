using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/adam.cu</c>: one for all parameters.</summary>
internal sealed class AdamLaunch : OperatorLaunch<Adam>
{
    protected override void Prepare(Node node, Adam op, LaunchContext context)
    {
        AdamOptions options = op.Options;
        (DeviceRange pieces, int blocks) = ParameterPieces.Upload(context, op.Layout);
        DeviceRange state = context.Memory(node.Input(Adam.State)), next = context.Memory(node.Output);
        // Differences from 1 and logarithms are taken in double: in float32 they would lose the digits that matter.
        context.Kernel("adam.cu", "adam_step")
            .Define("DECOUPLED", options.Decoupled).Define("CLIP", options.MaxNorm is not null)
            .Define("LOSS_SCALE", node.Inputs[Adam.Scale] is not null)
            .Read(state).Read(node.Input(Adam.Gradients)).Read(node.Input(Adam.Norm)).Read(node.Input(Adam.Rates))
            .Read(node.Input(Adam.Step))
            .Read(node.Inputs[Adam.Scale]).Write(next).Read(pieces)
            .Extent("COUNT", op.Layout.Shape[0])
            .Argument((float)options.Beta1).Argument((float)(1 - options.Beta1)).Argument((float)Math.Log(options.Beta1))
            .Argument((float)options.Beta2).Argument((float)(1 - options.Beta2)).Argument((float)Math.Log(options.Beta2))
            .Argument((float)options.Epsilon).Argument((float)options.WeightDecay).Argument((float)(options.MaxNorm ?? 0))
            .Launch(blocks, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/gradient_norm.cu</c>.</summary>
internal sealed class GradientNormLaunch : OperatorLaunch<GradientNorm>
{
    protected override void Prepare(Node node, GradientNorm op, LaunchContext context)
    {
        (DeviceRange pieces, int blocks) = ParameterPieces.Upload(context, op.Layout);
        context.Kernel("gradient_norm.cu", "gradient_norm").Define("LOSS_SCALE", node.Inputs[GradientNorm.Scale] is not null)
            .Read(node.Input(GradientNorm.Gradients)).Read(pieces).Read(node.Inputs[GradientNorm.Scale])
            .Update(context.Scratch(4L * blocks))
            .Update(context.Counters(1)).Write(node.Output)
            .Launch(blocks, Elementwise.Block);
    }
}

/// <summary>The table of <c>kernels/multi_tensor.cuh</c>: pieces of all parameters, one for each block.</summary>
internal static class ParameterPieces
{
    // piece_elements of multi_tensor.cuh.
    private const int Piece = 4096;

    /// <summary>Uploads the pieces' first elements and lengths.</summary>
    public static (DeviceRange Pieces, int Count) Upload(LaunchContext context, ParameterLayout layout)
    {
        // Their elements are counted in int.
        int all = layout.Shape[0];
        var pieces = new List<int>();
        foreach (Parameter parameter in layout.Parameters)
        {
            for (long first = 0; first < parameter.Shape.Count; first += Piece)
                pieces.AddRange([(int)(parameter.Offset + first), (int)Math.Min(Piece, parameter.Shape.Count - first)]);
        }
        // A layout without elements still has a norm, 0.
        if (pieces.Count == 0) pieces.AddRange([all, 0]);
        return (context.Upload<int>([.. pieces]), pieces.Count / 2);
    }
}
