namespace RawDiffusion.Engine.Operators;

/// <summary>The same elements in the same order under another shape. Costs nothing: output and input share memory.</summary>
/// <param name="Shape">New shape, with as many elements.</param>
public sealed record Reshape(Shape Shape) : Operator
{
    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", -1);
        Require(x.Shape.Count == Shape.Count, $"{x} has {x.Shape.Count} elements, {Shape} has {Shape.Count}");
        return Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => default;
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Reshape"/>
    public static Value Reshape(this Graph g, Value x, Shape shape, string? name = null) => g.Apply(new Reshape(shape), [x], name);
}
