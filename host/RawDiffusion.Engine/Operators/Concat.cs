namespace RawDiffusion.Engine.Operators;

/// <summary>Joins two values along their last dimension: [.., A] and [.., B] give [.., A + B].</summary>
public sealed record Concat() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int A = 0, B = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value a = Take(inputs, A, "a", -1);
        Value b = Take(inputs, B, "b", -1);
        Require(a.Shape.Rank > 1 && a.Shape.Rank == b.Shape.Rank && a.Shape.WithChannels(0) == b.Shape.WithChannels(0),
            $"{a} and {b} must agree in all dimensions but the last");
        return a.Shape.WithChannels(a.Shape[^1] + b.Shape[^1]);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 0);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        int first = node.Input(A).Shape[^1], second = node.Input(B).Shape[^1];
        return [wants(A) ? g.Slice(dy, 0, first) : null, wants(B) ? g.Slice(dy, first, second) : null];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Concat"/>
    public static Value Concat(this Graph g, Value a, Value b, string? name = null) => g.Apply(new Concat(), [a, b], name);
}
