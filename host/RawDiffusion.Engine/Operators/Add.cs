namespace RawDiffusion.Engine.Operators;

/// <summary>y = a + b, equal shapes.</summary>
public sealed record Add() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int A = 0, B = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override int InPlaceInput => A;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value a = Take(inputs, A, "a", -1);
        Value b = Take(inputs, B, "b", -1);
        Require(a.Shape == b.Shape, $"{a} and {b} must have the same shape");
        return a.Shape;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) => [dy, dy];
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Add"/>
    public static Value Add(this Graph g, Value a, Value b, string? name = null) => g.Apply(new Add(), [a, b], name);
}
