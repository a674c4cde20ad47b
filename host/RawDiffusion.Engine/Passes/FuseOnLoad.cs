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
            AvgPool2d { OnLoad: Activation.None } =>
                FuseNorm(rewriter, node, AvgPool2d.X, AvgPool2d.Affine, affines, onLoad => new AvgPool2d(onLoad)),
            SumRows { OnLoad: Activation.None } op =>
                FuseNorm(rewriter, node, SumRows.X, SumRows.Affine, affines, onLoad => new SumRows(op.Groups, onLoad)),
            _ => null,
        }));
    }

    private static Value? FuseConv(GraphRewriter rewriter, Node node, Conv2d op, Dictionary<Value, Value> affines)
    {
        Value?[] inputs = rewriter.Inputs(node);
        bool changed = false;
        if (!op.Upsample && inputs[Conv2d.X]!.Producer is { Operator: UpsampleNearest } upsample)
        {
            op = op with { Upsample = true };
            inputs[Conv2d.X] = upsample.Input(UpsampleNearest.X);
            changed = true;
        }
        if (inputs[Conv2d.Affine] is null && inputs[Conv2d.X2] is null && op.OnLoad == Activation.None
            && inputs[Conv2d.X]!.Producer is { Operator: GroupNorm norm } normNode)
        {
            op = op with { OnLoad = norm.Activation };
            inputs[Conv2d.Affine] = AffineOf(rewriter.Target, normNode, norm, affines);
            inputs[Conv2d.X] = normNode.Input(GroupNorm.X);
            changed = true;
        }
        if (inputs[Conv2d.X2] is null && inputs[Conv2d.X]!.Producer is { Operator: Concat } concat)
        {
            inputs[Conv2d.X] = concat.Input(Concat.A);
            inputs[Conv2d.X2] = concat.Input(Concat.B);
            changed = true;
        }
        return changed ? rewriter.Target.Apply(op, inputs, node.Name) : null;
    }

    private static Value? FuseNorm(GraphRewriter rewriter, Node node, int x, int affine, Dictionary<Value, Value> affines,
        Func<Activation, Operator> fused)
    {
        Value?[] inputs = rewriter.Inputs(node);
        if (inputs[affine] is not null || inputs[x]!.Producer is not { Operator: GroupNorm norm } normNode) return null;
        if (normNode.Input(GroupNorm.X).Producer is { Operator: Concat }) return null;
        inputs[affine] = AffineOf(rewriter.Target, normNode, norm, affines);
        inputs[x] = normNode.Input(GroupNorm.X);
        return rewriter.Target.Apply(fused(norm.Activation), inputs, node.Name);
    }

    // One affine serves all readers of a normalised value.
    private static Value AffineOf(Graph target, Node node, GroupNorm norm, Dictionary<Value, Value> affines)
    {
        if (affines.TryGetValue(node.Output, out Value? affine)) return affine;
        Value x = node.Input(GroupNorm.X);
        Value? x2 = null;
        if (x.Producer is { Operator: Concat } concat) (x, x2) = (concat.Input(Concat.A), concat.Input(Concat.B));
        affine = target.Apply(new GroupNormAffine(norm.Groups, norm.Epsilon),
            [x, node.Inputs[GroupNorm.Gamma], node.Inputs[GroupNorm.Beta], node.Inputs[GroupNorm.Film], x2], node.Name);
        affines.Add(node.Output, affine);
        return affine;
    }
}
