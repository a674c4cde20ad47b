namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Group norm, NHWC: each image's channels fall into groups that are normalised over positions and channels,
/// then y = activation((xhat * gamma + beta) * (1 + scale) + shift).
/// </summary>
/// <remarks>
/// Inputs: 0 x [N, H, W, C]; 1 gamma [C]; 2 beta [C]; 3 film [N, 2C], optional: scale then shift
/// (the authors' use_scale_shift_norm).
/// </remarks>
/// <param name="Groups">Number of groups; divides C. The model has 16 everywhere.</param>
/// <param name="Epsilon">Added to the variance.</param>
/// <param name="Activation">Applied last.</param>
public sealed record GroupNorm(int Groups, float Epsilon, Activation Activation) : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (1 or 2);

    /// <inheritdoc/>
    public override int InPlaceInput => 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", 4);
        Check(inputs, x.Shape[0], x.Shape[^1], Groups);
        return x.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 10);

    internal static void Check(IReadOnlyList<Value?> inputs, int rows, int channels, int groups)
    {
        Take(inputs, 1, "gamma", 1);
        Take(inputs, 2, "beta", 1);
        RequireShape(inputs, 1, "gamma", [channels]);
        RequireShape(inputs, 2, "beta", [channels]);
        RequireShape(inputs, 3, "film", [rows, 2 * channels]);
        Require(groups > 0 && channels % groups == 0, $"{channels} channels cannot be split into {groups} groups");
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Value gamma = node.Input(1);
        GroupNormGradients gradients = g.GroupNormGrad(
            node.Input(0), gamma, node.Input(2), dy, Groups, Activation, node.Inputs[3], Epsilon);
        return
        [
            gradients.Input,
            wants(1) ? g.View(gradients.Affine, gamma.Shape, 0, "gamma") : null,
            wants(2) ? g.View(gradients.Affine, gamma.Shape, gamma.Shape.Count, "beta") : null,
            gradients.Film,
        ];
    }
}

/// <summary>
/// The statistics half of a group norm, for operators that normalise while they read: output [N, 2, C] holds a scale
/// and a shift such that the normalised value is scale * x + shift.
/// </summary>
/// <remarks>Inputs as <see cref="GroupNorm"/>, and 4 x2 [N, H, W, C2], optional: read as if concatenated to x.</remarks>
/// <param name="Groups">Number of groups.</param>
/// <param name="Epsilon">Added to the variance.</param>
public sealed record GroupNormAffine(int Groups, float Epsilon) : Operator
{
    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (1 or 2);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", 4);
        Value? x2 = inputs.Count > 4 ? inputs[4] : null;
        if (x2 is not null) RequireShape(inputs, 4, "x2", x.Shape.WithChannels(x2.Shape[^1]));
        int channels = x.Shape[^1] + (x2?.Shape[^1] ?? 0);
        GroupNorm.Check(inputs, x.Shape[0], channels, Groups);
        return [x.Shape[0], 2, channels];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        double elements = inputs[0]!.Shape.Count + (inputs.Count > 4 ? inputs[4]?.Shape.Count ?? 0 : 0);
        return new(4 * elements, Engine.Cost.Traffic(inputs, output));
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="GroupNorm"/>
    public static Value GroupNorm(this Graph g, Value x, Value gamma, Value beta, int groups, Activation activation = Activation.None,
        Value? film = null, float epsilon = 1e-5f, string? name = null) =>
        g.Apply(new GroupNorm(groups, epsilon, activation), [x, gamma, beta, film], name);
}
