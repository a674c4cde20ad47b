using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Lets a convolution compute the 1x1 convolution whose result is its residual: both sums go into the same accumulators,
/// and the skip connection of a residual block is no kernel and no tensor of its own. Runs after <see cref="FuseOnStore"/>.
/// </summary>
public static class FuseSkip
{
    /// <summary>A graph that computes the same, up to the order of additions.</summary>
    public static Graph Apply(Graph graph) => RemoveDead.Apply(GraphRewriter.Rewrite(graph, Replace));

    private static Value? Replace(GraphRewriter rewriter, Node node)
    {
        if (node.Operator is not Conv2d { UpsampleResidual: false } conv || node.Inputs[Conv2d.Residual] is null) return null;
        if (!rewriter.IsReadOnce(node, Conv2d.Residual)) return null;
        Value?[] inputs = rewriter.Inputs(node);
        if (inputs[Conv2d.Residual]!.Producer is not { } skip || skip.Operator as Conv2d != new Conv2d(1, 0)) return null;
        if (skip.Input(Conv2d.Weight).Shape[1] != 1 || skip.Inputs.Skip(Conv2d.Affine).Any(i => i is not null)) return null;
        if (BiasOf(rewriter.Target, node.Name, inputs[Conv2d.Bias], skip.Inputs[Conv2d.Bias]) is not (true, var bias)) return null;
        inputs[Conv2d.Bias] = bias;
        inputs[Conv2d.Residual] = null;
        inputs[Conv2d.Skip] = skip.Input(Conv2d.X);
        inputs[Conv2d.Skip2] = skip.Inputs[Conv2d.X2];
        inputs[Conv2d.SkipWeight] = skip.Input(Conv2d.Weight);
        return rewriter.Target.Apply(conv, inputs, node.Name);
    }

    // Two biases can become one where both are constants.
    private static (bool Possible, Value? Bias) BiasOf(Graph target, string name, Value? a, Value? b)
    {
        if (a is null || b is null) return (true, a ?? b);
        if (a.Kind != ValueKind.Constant || b.Kind != ValueKind.Constant) return (false, null);
        return (true, target.Constant(name + ".bias", a.Shape, destination =>
        {
            float[] second = new float[destination.Length];
            a.Constant!(destination);
            b.Constant!(second);
            for (int i = 0; i < destination.Length; i++) destination[i] += second[i];
        }));
    }
}
