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
public sealed record GroupNorm(int Groups, float Epsilon, Activation Activation) : Operator(arity: 4)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Gamma = 1, Beta = 2, Film = 3;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (Gamma or Beta);

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Check(inputs, x.Shape[0], x.Shape[^1], Groups);
        return x.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 10);

    internal static void Check(IReadOnlyList<Value?> inputs, int rows, int channels, int groups)
    {
        Take(inputs, Gamma, "gamma", 1);
        Take(inputs, Beta, "beta", 1);
        RequireShape(inputs, Gamma, "gamma", [channels]);
        RequireShape(inputs, Beta, "beta", [channels]);
        RequireShape(inputs, Film, "film", [rows, 2 * channels]);
        Require(groups > 0 && channels % groups == 0, $"{channels} channels cannot be split into {groups} groups");
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Value gamma = node.Input(Gamma);
        GroupNormGradients gradients = g.GroupNormGrad(
            node.Input(X), gamma, node.Input(Beta), dy, Groups, Activation, node.Inputs[Film], Epsilon);
        return
        [
            gradients.Input,
            wants(Gamma) ? g.View(gradients.Affine, gamma.Shape, 0, "gamma") : null,
            wants(Beta) ? g.View(gradients.Affine, gamma.Shape, gamma.Shape.Count, "beta") : null,
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
public sealed record GroupNormAffine(int Groups, float Epsilon) : Operator(arity: 5)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = GroupNorm.X, Gamma = GroupNorm.Gamma, Beta = GroupNorm.Beta, Film = GroupNorm.Film, X2 = 4;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (Gamma or Beta);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Value? x2 = inputs[X2];
        if (x2 is not null) RequireShape(inputs, X2, "x2", x.Shape.WithChannels(x2.Shape[^1]));
        int channels = x.Shape[^1] + (x2?.Shape[^1] ?? 0);
        GroupNorm.Check(inputs, x.Shape[0], channels, Groups);
        return [x.Shape[0], 2, channels];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        double elements = inputs[X]!.Shape.Count + (inputs[X2]?.Shape.Count ?? 0);
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
