namespace RawDiffusion.Engine.Operators;

/// <summary>y = onStore(x w^T + bias): x [M, I], w [O, I] as PyTorch stores it, bias [O] optional; y [M, O].</summary>
public sealed record Linear() : Operator(arity: 3)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Weight = 1, Bias = 2;

    /// <summary>Applied to each output element, last.</summary>
    public Activation OnStore { get; init; }

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (Weight or Bias);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 2);
        Value w = Take(inputs, Weight, "weight", 2);
        Require(x.Shape[1] == w.Shape[1], $"x {x} and weight {w} must agree in their last dimension");
        RequireShape(inputs, Bias, "bias", [w.Shape[0]]);
        return [x.Shape[0], w.Shape[0]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * output.Count * inputs[Weight]!.Shape[1], Engine.Cost.Traffic(inputs, output));

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(OnStore == Activation.None, "a linear layer has no gradient once an activation was fused into it");
        return
        [
            wants(X) ? g.LinearGradInput(dy, node.Input(Weight)) : null,
            wants(Weight) ? g.LinearGradWeight(dy, node.Input(X)) : null,
            wants(Bias) ? g.ChannelSum(dy) : null,
        ];
    }
}

/// <summary>Gradient of <see cref="Linear"/>, without its activation, by its input: dx = dy w; dy [M, O], w [O, I], dx [M, I].</summary>
public sealed record LinearGradInput() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Dy = 0, Weight = 1;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position != Weight;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 2);
        Value w = Take(inputs, Weight, "weight", 2);
        Require(dy.Shape[1] == w.Shape[0], $"the last dimension of dy {dy} must be the first of weight {w}");
        return [dy.Shape[0], w.Shape[1]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * output.Count * inputs[Weight]!.Shape[0], Engine.Cost.Traffic(inputs, output));
}

/// <summary>Gradient of <see cref="Linear"/>, without its activation, by its weight: dw = dy^T x; dy [M, O], x [M, I], dw [O, I].</summary>
public sealed record LinearGradWeight() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Dy = 0, X = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 2);
        Value x = Take(inputs, X, "x", 2);
        Require(dy.Shape[0] == x.Shape[0], $"dy {dy} and x {x} must agree in their first dimension");
        return [dy.Shape[1], x.Shape[1]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * output.Count * inputs[Dy]!.Shape[0], Engine.Cost.Traffic(inputs, output));
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Linear"/>
    public static Value Linear(this Graph g, Value x, Value weight, Value? bias, string? name = null) =>
        g.Apply(new Linear(), [x, weight, bias], name);

    /// <inheritdoc cref="Operators.LinearGradInput"/>
    public static Value LinearGradInput(this Graph g, Value dy, Value weight, string? name = null) =>
        g.Apply(new LinearGradInput(), [dy, weight], name);

    /// <inheritdoc cref="Operators.LinearGradWeight"/>
    public static Value LinearGradWeight(this Graph g, Value dy, Value x, string? name = null) =>
        g.Apply(new LinearGradWeight(), [dy, x], name);
}
