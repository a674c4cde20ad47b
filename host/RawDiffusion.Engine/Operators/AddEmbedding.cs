namespace RawDiffusion.Engine.Operators;

/// <summary>y[n, h, w, c] = x[n, h, w, c] + e[n, c]: a residual block's time and latent embedding.</summary>
public sealed record AddEmbedding : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override int InPlaceInput => 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", 4);
        Value e = Take(inputs, 1, "embedding", 2);
        RequireShape(inputs, 1, "embedding", [x.Shape[0], x.Shape[^1]]);
        return x.Shape;
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="AddEmbedding"/>
    public static Value AddEmbedding(this Graph g, Value x, Value embedding, string? name = null) => g.Apply(new AddEmbedding(), [x, embedding], name);
}
