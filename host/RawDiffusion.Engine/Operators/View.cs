namespace RawDiffusion.Engine.Operators;

/// <summary>
/// A run of elements of a value, in their order, under a shape of its own. Costs nothing: it lies in the memory of what it
/// is a view of.
/// </summary>
/// <param name="Shape">Shape of the view.</param>
/// <param name="Offset">Position of its first element.</param>
public sealed record View(Shape Shape, long Offset = 0) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", -1);
        Require(Offset >= 0 && Offset + Shape.Count <= x.Shape.Count,
            $"{x} has {x.Shape.Count} elements, {Shape} has {Shape.Count}{(Offset == 0 ? "" : $" from element {Offset} on")}");
        return Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => default;

    /// <inheritdoc/>
    /// <remarks>Of a view of all elements; parameters are views of a part, and gradients end there.</remarks>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Shape shape = node.Input(X).Shape;
        Require(shape.Count == Shape.Count, $"there is no gradient by {node.Input(X)}, of which {node.Output} is a part");
        return [g.Reshape(dy, shape)];
    }
}

public static partial class GraphBuilder
{
    /// <summary>All elements in the same order under another shape, with as many.</summary>
    /// <exception cref="GraphException">The shape has more or fewer elements.</exception>
    public static Value Reshape(this Graph g, Value x, Shape shape, string? name = null)
    {
        Value y = g.Apply(new View(shape), [x], name);
        return y.Shape.Count == x.Shape.Count ? y
            : throw new GraphException($"{y.Name}: {x} has {x.Shape.Count} elements, {shape} has {shape.Count}");
    }

    /// <inheritdoc cref="Operators.View"/>
    public static Value View(this Graph g, Value x, Shape shape, long offset, string? name = null) =>
        g.Apply(new View(shape, offset), [x], name);
}
