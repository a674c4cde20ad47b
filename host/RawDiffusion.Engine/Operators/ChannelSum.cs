namespace RawDiffusion.Engine.Operators;

/// <summary>y[c] = sum of x[.., c] over all leading dimensions: x [.., C] -> y [C]. The gradient of a bias.</summary>
public sealed record ChannelSum() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", -1);
        Require(x.Shape.Rank > 0, $"x {x} must have channels");
        return [x.Shape[^1]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="ChannelSum"/>
    public static Value ChannelSum(this Graph g, Value x, string? name = null) => g.Apply(new ChannelSum(), [x], name);
}
