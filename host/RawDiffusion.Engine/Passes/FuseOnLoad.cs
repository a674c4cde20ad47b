using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Lets the operators that read a tensor do what was done to it first: a convolution reads through concatenation, group
/// norm, activation and upsampling; a pool and the sum over rows read through group norm and activation. The
/// normalised, joined or enlarged tensor is never written. A group norm becomes its statistics half.
/// </summary>
public static class FuseOnLoad
{
    /// <summary>A graph that computes the same.</summary>
    public static Graph Apply(Graph graph)
    {
        var affines = new Dictionary<Value, Value>();
        return RemoveDead.Apply(GraphRewriter.Rewrite(graph, (rewriter, node) => node.Operator switch
        {
            Conv2d op => FuseConv(rewriter, node, op, affines),
            AvgPool2d { OnLoad: Activation.None } => FuseNorm(rewriter, node, affines, onLoad => new AvgPool2d(onLoad)),
            SumRows { OnLoad: Activation.None } op => FuseNorm(rewriter, node, affines, onLoad => new SumRows(op.Groups, onLoad)),
            _ => null,
        }));
    }

    private static Value? FuseConv(GraphRewriter rewriter, Node node, Conv2d op, Dictionary<Value, Value> affines)
    {
        Value?[] inputs = rewriter.Inputs(node);
        bool changed = false;
        if (!op.Upsample && inputs[0]!.Producer is { Operator: UpsampleNearest } upsample)
        {
            op = op with { Upsample = true };
            inputs[0] = upsample.Inputs[0];
            changed = true;
        }
        if (inputs[Conv2d.Affine] is null && inputs[Conv2d.X2] is null && op.OnLoad == Activation.None
            && inputs[0]!.Producer is { Operator: GroupNorm norm } normNode)
        {
            op = op with { OnLoad = norm.Activation };
            inputs[Conv2d.Affine] = AffineOf(rewriter.Target, normNode, norm, affines);
            inputs[0] = normNode.Inputs[0];
            changed = true;
        }
        if (inputs[Conv2d.X2] is null && inputs[0]!.Producer is { Operator: Concat } concat)
        {
            inputs[0] = concat.Inputs[0];
            inputs[Conv2d.X2] = concat.Inputs[1];
            changed = true;
        }
        return changed ? rewriter.Target.Apply(op, inputs, node.Name) : null;
    }

    private static Value? FuseNorm(GraphRewriter rewriter, Node node, Dictionary<Value, Value> affines, Func<Activation, Operator> fused)
    {
        Value?[] inputs = rewriter.Inputs(node);
        if (inputs[1] is not null || inputs[0]!.Producer is not { Operator: GroupNorm norm } normNode) return null;
        if (normNode.Inputs[0]!.Producer is { Operator: Concat }) return null;
        inputs[1] = AffineOf(rewriter.Target, normNode, norm, affines);
        inputs[0] = normNode.Inputs[0];
        return rewriter.Target.Apply(fused(norm.Activation), inputs, node.Name);
    }

    // One affine serves all readers of a normalised value.
    private static Value AffineOf(Graph target, Node node, GroupNorm norm, Dictionary<Value, Value> affines)
    {
        if (affines.TryGetValue(node.Output, out Value? affine)) return affine;
        Value x = node.Input(0);
        Value? x2 = null;
        if (x.Producer is { Operator: Concat } concat) (x, x2) = (concat.Input(0), concat.Input(1));
        affine = target.Apply(new GroupNormAffine(norm.Groups, norm.Epsilon),
            [x, node.Inputs[1], node.Inputs[2], node.Inputs[3], x2], node.Name);
        affines.Add(node.Output, affine);
        return affine;
    }
}
