namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The sums over positions that all gradients of a group norm need. With z = scale * x + shift, g = dy * activation'(z)
/// and xhat the normalised x: output [N, 4, C] holds sum g, sum g xhat, and the means over the channel's group of scale * g
/// and scale * g * xhat.
/// </summary>
/// <remarks>
/// Inputs: 0 x [N, H, W, C]; 1 affine [N, 2, C], the norm's <see cref="GroupNormAffine"/>; 2 normal [N, 2, C], the same
/// without gamma, beta and film, so that xhat = normal[n, 0] * x + normal[n, 1]; 3 dy [N, H, W, C].
/// </remarks>
/// <param name="Groups">Number of groups.</param>
/// <param name="Activation">The norm's activation.</param>
public sealed record GroupNormGradSums(int Groups, Activation Activation) : Operator(arity: 4)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Affine = 1, Normal = 2, Dy = 3;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = Check(inputs);
        Require(Groups > 0 && x[3] % Groups == 0, $"{x[3]} channels cannot be split into {Groups} groups");
        return [x[0], 4, x[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(12.0 * inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    internal static Shape Check(IReadOnlyList<Value?> inputs)
    {
        Shape x = Take(inputs, X, "x", 4).Shape;
        Take(inputs, Affine, "affine", 3);
        Take(inputs, Normal, "normal", 3);
        Take(inputs, Dy, "dy", 4);
        RequireShape(inputs, Affine, "affine", [x[0], 2, x[3]]);
        RequireShape(inputs, Normal, "normal", [x[0], 2, x[3]]);
        RequireShape(inputs, Dy, "dy", x);
        return x;
    }
}

/// <summary>
/// The gradient of a group norm by x: scale * g - mean(scale * g) - xhat * mean(scale * g * xhat), means over the group.
/// Inputs as <see cref="GroupNormGradSums"/>, and 4 its output.
/// </summary>
/// <param name="Activation">The norm's activation.</param>
public sealed record GroupNormGradInput(Activation Activation) : Operator(arity: 5)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = GroupNormGradSums.X, Affine = GroupNormGradSums.Affine, Normal = GroupNormGradSums.Normal,
        Dy = GroupNormGradSums.Dy, Sums = 4;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => Dy;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = GroupNormGradSums.Check(inputs);
        Take(inputs, Sums, "sums", 3);
        RequireShape(inputs, Sums, "sums", [x[0], 4, x[3]]);
        return x;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 14);
}

/// <summary>
/// The gradients of a group norm by gamma and beta, [2, C]: sums over images of (1 + film scale) * sum g xhat and of
/// (1 + film scale) * sum g. Inputs: 0 the output of <see cref="GroupNormGradSums"/>; 1 film [N, 2C], optional.
/// </summary>
public sealed record GroupNormGradAffine() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Sums = 0, Film = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value sums = Take(inputs, Sums, "sums", 3);
        Require(sums.Shape[1] == 4, $"sums {sums} must be [N, 4, C]");
        RequireShape(inputs, Film, "film", [sums.Shape[0], 2 * sums.Shape[2]]);
        return [2, sums.Shape[2]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(inputs[Sums]!.Shape.Count, Engine.Cost.Traffic(inputs, output));
}

/// <summary>
/// The gradient of a group norm by film, [N, 2C]: gamma * sum g xhat + beta * sum g for the scale, sum g for the shift.
/// Inputs: 0 the output of <see cref="GroupNormGradSums"/>; 1 gamma [C]; 2 beta [C].
/// </summary>
public sealed record GroupNormGradFilm() : Operator(arity: 3)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Sums = 0, Gamma = 1, Beta = 2;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value sums = Take(inputs, Sums, "sums", 3);
        Require(sums.Shape[1] == 4, $"sums {sums} must be [N, 4, C]");
        Take(inputs, Gamma, "gamma", 1);
        Take(inputs, Beta, "beta", 1);
        RequireShape(inputs, Gamma, "gamma", [sums.Shape[2]]);
        RequireShape(inputs, Beta, "beta", [sums.Shape[2]]);
        return [sums.Shape[0], 2 * sums.Shape[2]];
    }
}

/// <summary>The gradients of a group norm.</summary>
/// <param name="Input">dx [N, H, W, C].</param>
/// <param name="Affine">dgamma, then dbeta: [2, C].</param>
/// <param name="Film">[N, 2C]; null where the norm has no film.</param>
public sealed record GroupNormGradients(Value Input, Value Affine, Value? Film);

public static partial class GraphBuilder
{
    /// <summary>
    /// Appends the gradients of <see cref="GroupNorm(Graph, Value, Value, Value, int, Activation, Value?, float, string?)"/>.
    /// </summary>
    public static GroupNormGradients GroupNormGrad(this Graph g, Value x, Value gamma, Value beta, Value dy, int groups,
        Activation activation = Activation.None, Value? film = null, float epsilon = 1e-5f)
    {
        int channels = x.Shape[^1];
        Value ones = g.Constant("ones", [channels], d => d.Fill(1)), zeros = g.Constant("zeros", [channels], d => d.Clear());
        Value affine = g.Apply(new GroupNormAffine(groups, epsilon), [x, gamma, beta, film, null]);
        Value normal = g.Apply(new GroupNormAffine(groups, epsilon), [x, ones, zeros, null, null]);
        Value sums = g.Apply(new GroupNormGradSums(groups, activation), [x, affine, normal, dy]);
        return new GroupNormGradients(
            g.Apply(new GroupNormGradInput(activation), [x, affine, normal, dy, sums]),
            g.Apply(new GroupNormGradAffine(), [sums, film]),
            film is null ? null : g.Apply(new GroupNormGradFilm(), [sums, gamma, beta]));
    }
}
