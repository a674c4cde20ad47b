using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Makes one <see cref="DenoiseAverageStep"/> of the sum over rows, the 3x3 output convolution and the step that
/// follow each other and that nobody else reads.
/// </summary>
public static class FuseDenoise
{
    /// <summary>A graph that computes the same, up to the order of additions.</summary>
    public static Graph Apply(Graph graph) => RemoveDead.Apply(GraphRewriter.Rewrite(graph, (rewriter, node) =>
    {
        if (node.Operator is not DenoiseStep step || !rewriter.IsReadOnce(node, DenoiseStep.Prediction)) return null;
        if (node.Input(DenoiseStep.Prediction).Producer is not { Operator: Conv2d conv } convNode || conv != new Conv2d(1, 1)) return null;
        if (convNode.Input(Conv2d.Weight).Shape[1] != 3 || convNode.Inputs.Skip(Conv2d.X2).Any(i => i is not null)) return null;
        if (!rewriter.IsReadOnce(convNode, Conv2d.X)) return null;
        if (convNode.Input(Conv2d.X).Producer is not { Operator: SumRows mean } meanNode) return null;
        Value?[] s = rewriter.Inputs(node), c = rewriter.Inputs(convNode), m = rewriter.Inputs(meanNode);
        return rewriter.Target.Apply(new DenoiseAverageStep(mean.Groups, mean.OnLoad, step.Clip),
            [m[SumRows.X], s[DenoiseStep.X], s[DenoiseStep.Table], s[DenoiseStep.Step], s[DenoiseStep.Noise], m[SumRows.Affine],
                c[Conv2d.Weight], c[Conv2d.Bias]], node.Name);
    }));
}
