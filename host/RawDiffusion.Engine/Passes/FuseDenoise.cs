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
        if (node.Operator is not DenoiseStep step || !rewriter.IsReadOnce(node, 0)) return null;
        if (node.Input(0).Producer is not { Operator: Conv2d { Stride: 1, Padding: 1 } conv } convNode) return null;
        if (conv != new Conv2d(1, 1) || convNode.Input(1).Shape[1] != 3 || convNode.Inputs.Skip(Conv2d.X2).Any(i => i is not null))
            return null;
        if (!rewriter.IsReadOnce(convNode, 0) || convNode.Input(0).Producer is not { Operator: SumRows mean } meanNode) return null;
        Value?[] s = rewriter.Inputs(node), c = rewriter.Inputs(convNode), m = rewriter.Inputs(meanNode);
        return rewriter.Target.Apply(new DenoiseAverageStep(mean.Groups, mean.OnLoad, step.Clip),
            [m[0], s[1], s[2], s[3], s[4], m[1], c[1], c[Conv2d.Bias]], node.Name);
    }));
}
