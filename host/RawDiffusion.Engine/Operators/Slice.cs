namespace RawDiffusion.Engine.Operators;

/// <summary>Channels Start to Start + Count - 1 of x [.., C]: undoes a <see cref="Concat"/>, and is its gradient.</summary>
/// <param name="Start">First channel.</param>
/// <param name="Count">Number of channels.</param>
public sealed record Slice(int Start, int Count) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", -1);
        Require(x.Shape.Rank > 1, $"x {x} must have at least 2 dimensions");
        Require(Start >= 0 && Count >= 0 && (long)Start + Count <= x.Shape[^1],
            $"channels {Start} to {(long)Start + Count - 1} are not all among those of {x}");
        return x.Shape.WithChannels(Count);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => new(0, 8.0 * output.Count);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Shape x = node.Input(X).Shape;
        Value Zeros(int channels) => g.Constant("zeros", x.WithChannels(channels), d => d.Clear());
        int after = x[^1] - Start - Count;
        Value dx = Start > 0 ? g.Concat(Zeros(Start), dy) : dy;
        return [after > 0 ? g.Concat(dx, Zeros(after)) : dx];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.Slice"/>
    public static Value Slice(this Graph g, Value x, int start, int count, string? name = null) =>
        g.Apply(new Slice(start, count), [x], name);
}
