namespace RawDiffusion.Engine.Operators;

/// <summary>Nearest upsampling by two: y[n, h, w] = x[n, h / 2, w / 2].</summary>
public sealed record UpsampleNearest : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = Take(inputs, 0, "x", 4).Shape;
        return [x[0], 2 * x[1], 2 * x[2], x[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 0);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="UpsampleNearest"/>
    public static Value UpsampleNearest(this Graph g, Value x, string? name = null) => g.Apply(new UpsampleNearest(), [x], name);
}
