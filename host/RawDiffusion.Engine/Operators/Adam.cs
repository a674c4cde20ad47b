namespace RawDiffusion.Engine.Operators;

/// <summary>Constants of Adam; defaults are PyTorch's.</summary>
public sealed record AdamOptions
{
    /// <summary>Decay of the running mean of gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the running mean of their squares.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the mean of squares.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Pull of parameters to zero.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Whether the pull bypasses the running means (AdamW) or is part of the gradient (Adam).</summary>
    public bool Decoupled { get; init; }

    /// <summary>All gradients together are scaled down to this norm where it is stated.</summary>
    public double? MaxNorm { get; init; }
}

/// <summary>
/// One optimizer step for all parameters (Kingma and Ba 2015; AdamW: Loshchilov and Hutter 2019), and their exponential moving
/// average. With t = step + 1 and g = gradient, scaled by min(1, MaxNorm / (norm + 1e-6)) where MaxNorm is stated:
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon); average += share (p - average).
/// </summary>
/// <remarks>
/// Inputs: 0 state [4, P], rows <see cref="Parameters"/>, <see cref="First"/> (m), <see cref="Second"/> (v) and
/// <see cref="Average"/>; 1 gradient [P]; 2 norm [1], of <see cref="GradientNorm"/>; 3 rates [2]: learning rate, then the share of
/// the parameters in their new average; 4 step [1], steps done before this one; 5 the state of a <see cref="LossScale"/> [3],
/// optional. Output: the state's next content. With a loss scale the gradient is divided by it, steps that were skipped do not count,
/// and where the norm is not finite nothing changes.
/// </remarks>
/// <param name="Layout">Places of the parameters.</param>
/// <param name="Options">Constants.</param>
public sealed record Adam(ParameterLayout Layout, AdamOptions Options) : Operator(arity: 6)
{
    /// <summary>Positions of the inputs.</summary>
    public const int State = 0, Gradients = 1, Norm = 2, Rates = 3, Step = 4, Scale = 5;

    /// <summary>Rows of the state.</summary>
    public const int Parameters = 0, First = 1, Second = 2, Average = 3, Rows = 4;

    /// <inheritdoc/>
    public override int InPlaceInput => State;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape state = [Rows, Layout.Shape[0]];
        string[] roles = ["state", "gradient", "norm", "rates"];
        Shape[] shapes = [state, Layout.Shape, [1], [2]];
        for (int i = 0; i < roles.Length; i++)
        {
            Take(inputs, i, roles[i], -1);
            RequireShape(inputs, i, roles[i], shapes[i]);
        }
        TableRow.StepCounter(inputs, Step);
        RequireShape(inputs, Scale, "loss scale", [LossScale.Length]);
        return state;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => new(16.0 * Layout.Count, 36.0 * Layout.Count);
}

/// <summary>
/// The root of the sum of squares of all parameters' gradients, [1], divided by the loss scale. Inputs: 0 gradient [P]; 1 the state of a
/// <see cref="LossScale"/> [3], optional.
/// </summary>
/// <param name="Layout">Places of the parameters; elements between them do not count.</param>
public sealed record GradientNorm(ParameterLayout Layout) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Gradients = 0, Scale = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Take(inputs, Gradients, "gradient", 1);
        RequireShape(inputs, Gradients, "gradient", Layout.Shape);
        RequireShape(inputs, Scale, "loss scale", [LossScale.Length]);
        return [1];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => new(2.0 * Layout.Count, 4.0 * Layout.Count);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.Adam"/>
    public static Value Adam(this Graph g, ParameterLayout layout, AdamOptions options, Value state, Value gradient, Value norm,
        Value rates, Value step, Value? lossScale = null, string? name = null) =>
        g.Apply(new Adam(layout, options), [state, gradient, norm, rates, step, lossScale], name);

    /// <inheritdoc cref="Operators.GradientNorm"/>
    public static Value GradientNorm(this Graph g, ParameterLayout layout, Value gradient, Value? lossScale = null, string? name = null) =>
        g.Apply(new GradientNorm(layout), [gradient, lossScale], name);
}
