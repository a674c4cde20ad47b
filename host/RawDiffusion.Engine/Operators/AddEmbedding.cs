namespace RawDiffusion.Engine.Operators;

/// <summary>y[n, h, w, c] = x[n, h, w, c] + e[n, c]: a residual block's time and latent embedding.</summary>
public sealed record AddEmbedding() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Embedding = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Value e = Take(inputs, Embedding, "embedding", 2);
        RequireShape(inputs, Embedding, "embedding", [x.Shape[0], x.Shape[^1]]);
        return x.Shape;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [dy, wants(Embedding) ? g.Apply(new AddEmbeddingGradEmbedding(), [dy]) : null];
}

/// <summary>de[n, c] = sum over h, w of dy[n, h, w, c]: the gradient of <see cref="AddEmbedding"/> by its embedding.</summary>
public sealed record AddEmbeddingGradEmbedding() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Dy = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape dy = Take(inputs, Dy, "dy", 4).Shape;
        return [dy[0], dy[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(inputs[Dy]!.Shape.Count, Engine.Cost.Traffic(inputs, output));
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="AddEmbedding"/>
    public static Value AddEmbedding(this Graph g, Value x, Value embedding, string? name = null) =>
        g.Apply(new AddEmbedding(), [x, embedding], name);
}
