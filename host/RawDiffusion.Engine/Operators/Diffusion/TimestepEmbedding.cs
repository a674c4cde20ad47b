namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Sinusoidal embedding of timesteps, which may be fractional: t [M] gives [M, Dimension], cosines first:
/// cos(t f_i), sin(t f_i) with f_i = 10000^(-i / half), half = Dimension / 2; an odd last column is zero.
/// Source: the authors' timestep_embedding (nn.py).
/// </summary>
/// <param name="Dimension">Width of the embedding.</param>
public sealed record TimestepEmbedding(int Dimension) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int T = 0;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Require(Dimension >= 2, $"the embedding needs at least 2 dimensions, not {Dimension}");
        return [Take(inputs, T, "t", 1).Shape[0], Dimension];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 20);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="TimestepEmbedding"/>
    public static Value TimestepEmbedding(this Graph g, Value t, int dimension, string? name = null) =>
        g.Apply(new TimestepEmbedding(dimension), [t], name);
}
