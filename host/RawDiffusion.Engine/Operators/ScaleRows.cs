namespace RawDiffusion.Engine.Operators;

/// <summary>
/// y[n, ..] = scale[n] * x[n, ..]: the two halves of q-sample, x_t = sqrt(alphasCumprod_t) x_0 + sqrt(1 - alphasCumprod_t) noise,
/// with a t for each image; and, with scales 0 and 1, latents that are dropped for training without condition.
/// Inputs: 0 x [N, ..]; 1 scale [N].
/// </summary>
public sealed record ScaleRows() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Scale = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", -1);
        Require(x.Shape.Rank > 0, $"x {x} must have rows");
        Take(inputs, Scale, "scale", 1);
        RequireShape(inputs, Scale, "scale", [x.Shape[0]]);
        return x.Shape;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(!wants(Scale), "there is no gradient by the scale");
        return [g.ScaleRows(dy, node.Input(Scale))];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.ScaleRows"/>
    public static Value ScaleRows(this Graph g, Value x, Value scale, string? name = null) => g.Apply(new ScaleRows(), [x, scale], name);
}
