namespace RawDiffusion.Engine.Operators;

/// <summary>Pointwise nonlinearities.</summary>
public enum Activation
{
    /// <summary>Identity.</summary>
    None,
    /// <summary>x * sigmoid(x), "swish".</summary>
    Silu,
    /// <summary>max(x, 0); NaN stays NaN.</summary>
    Relu,
}

/// <summary>y = activation(x), element by element, any shape.</summary>
/// <param name="Activation">The function that is applied.</param>
public sealed record Activate(Activation Activation) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs) => Take(inputs, X, "x", -1).Shape;

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 4);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.Apply(new ActivateGrad(Activation), [node.Input(X), dy])];
}

/// <summary>dx = dy * activation'(x), element by element. Inputs: 0 x; 1 dy, the same shape. The derivative of ReLU at 0 is 0.</summary>
/// <param name="Activation">The function that is applied.</param>
public sealed record ActivateGrad(Activation Activation) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Dy = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => Dy;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape shape = Take(inputs, X, "x", -1).Shape;
        Take(inputs, Dy, "dy", -1);
        RequireShape(inputs, Dy, "dy", shape);
        return shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 7);
}

public static partial class GraphBuilder
{
    /// <summary>x * sigmoid(x).</summary>
    public static Value Silu(this Graph g, Value x, string? name = null) => g.Apply(new Activate(Activation.Silu), [x], name);

    /// <summary>max(x, 0).</summary>
    public static Value Relu(this Graph g, Value x, string? name = null) => g.Apply(new Activate(Activation.Relu), [x], name);
}
