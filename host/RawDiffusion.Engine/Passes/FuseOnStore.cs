using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Lets a convolution add embedding and residual (also one read through upsampling) and apply the activation when it
/// stores, a linear layer apply its activation, and a repetition of rows add the embedding.
/// </summary>
public static class FuseOnStore
{
    /// <summary>A graph that computes the same, up to the order of additions.</summary>
    public static Graph Apply(Graph graph) => RemoveDead.Apply(GraphRewriter.Rewrite(graph, (rewriter, node) => node.Operator switch
    {
        AddEmbedding => FuseEmbedding(rewriter, node),
        Add => FuseResidual(rewriter, node, Add.B, Add.A) ?? FuseResidual(rewriter, node, Add.A, Add.B),
        Activate op => FuseActivation(rewriter, node, op.Activation),
        _ => null,
    }));

    private static Value? FuseEmbedding(GraphRewriter rewriter, Node node)
    {
        if (!rewriter.IsReadOnce(node, AddEmbedding.X)) return null;
        Value?[] inputs = rewriter.Inputs(node);
        if (inputs[AddEmbedding.X]!.Producer is not { } producer) return null;
        if (producer.Operator is RepeatRows && producer.Inputs[RepeatRows.Embedding] is null)
        {
            return rewriter.Target.Apply(
                producer.Operator, [producer.Inputs[RepeatRows.X], inputs[AddEmbedding.Embedding]], producer.Name);
        }

        if (Pending(producer) is not { } conv || producer.Inputs[Conv2d.Embedding] is not null
            || producer.Inputs[Conv2d.Residual] is not null)
        {
            return null;
        }

        Value?[] fused = [.. producer.Inputs];
        fused[Conv2d.Embedding] = inputs[AddEmbedding.Embedding];
        return rewriter.Target.Apply(conv, fused, producer.Name);
    }

    private static Value? FuseResidual(GraphRewriter rewriter, Node node, int convPosition, int otherPosition)
    {
        Value?[] inputs = rewriter.Inputs(node);
        if (!rewriter.IsReadOnce(node, convPosition) || inputs[convPosition]!.Producer is not { } producer) return null;
        if (Pending(producer) is not { } conv || producer.Inputs[Conv2d.Residual] is not null) return null;
        Value other = inputs[otherPosition]!;
        if (other.Producer is { Operator: UpsampleNearest } upsample)
        {
            conv = conv with { UpsampleResidual = true };
            other = upsample.Input(UpsampleNearest.X);
        }
        Value?[] fused = [.. producer.Inputs];
        fused[Conv2d.Residual] = other;
        return rewriter.Target.Apply(conv, fused, producer.Name);
    }

    private static Value? FuseActivation(GraphRewriter rewriter, Node node, Activation activation)
    {
        if (!rewriter.IsReadOnce(node, Activate.X) || rewriter.Map(node.Input(Activate.X)).Producer is not { } producer) return null;
        return producer.Operator switch
        {
            Conv2d { OnStore: Activation.None } conv =>
                rewriter.Target.Apply(conv with { OnStore = activation }, [.. producer.Inputs], producer.Name),
            Linear { OnStore: Activation.None } linear =>
                rewriter.Target.Apply(linear with { OnStore = activation }, [.. producer.Inputs], producer.Name),
            _ => null,
        };
    }

    // A convolution that has not applied its activation yet can still take an addition.
    private static Conv2d? Pending(Node producer) => producer.Operator is Conv2d { OnStore: Activation.None } conv ? conv : null;
}
