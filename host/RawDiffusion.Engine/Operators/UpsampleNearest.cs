namespace RawDiffusion.Engine.Operators;

/// <summary>Nearest upsampling by two: y[n, h, w] = x[n, h / 2, w / 2].</summary>
public sealed record UpsampleNearest() : Operator(arity: 1)
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
        Shape x = Take(inputs, X, "x", 4).Shape;
        return [x[0], 2 * x[1], 2 * x[2], x[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 0);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.Apply(new UpsampleNearestGradInput(), [dy])];
}

/// <summary>The gradient of <see cref="UpsampleNearest"/>: dx[n, h, w, c] = sum over i, j in {0, 1} of dy[n, 2h + i, 2w + j, c].</summary>
public sealed record UpsampleNearestGradInput() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Dy = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 4);
        Shape shape = dy.Shape;
        Require(shape[1] % 2 == 0 && shape[2] % 2 == 0, $"dy {dy} must have an even height and width");
        return [shape[0], shape[1] / 2, shape[2] / 2, shape[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 3);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="UpsampleNearest"/>
    public static Value UpsampleNearest(this Graph g, Value x, string? name = null) => g.Apply(new UpsampleNearest(), [x], name);
}
