namespace RawDiffusion.Engine.Operators;

/// <summary>y = onStore(x w^T + bias): x [M, I], w [O, I] as PyTorch stores it, bias [O] optional; y [M, O].</summary>
public sealed record Linear : Operator
{
    /// <summary>Applied to each output element, last.</summary>
    public Activation OnStore { get; init; }

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (1 or 2);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", 2);
        Value w = Take(inputs, 1, "weight", 2);
        Require(x.Shape[1] == w.Shape[1], $"x {x} and weight {w} must agree in their last dimension");
        RequireShape(inputs, 2, "bias", [w.Shape[0]]);
        return [x.Shape[0], w.Shape[0]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * output.Count * inputs[1]!.Shape[1], Engine.Cost.Traffic(inputs, output));
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Linear"/>
    public static Value Linear(this Graph g, Value x, Value weight, Value? bias, string? name = null) => g.Apply(new Linear(), [x, weight, bias], name);
}
