namespace RawDiffusion.Engine.Operators;

/// <summary>
/// How alike the factors' latents are, [1]: the mean over images and over all pairs (i, j) of factors of
/// cos(z_i, z_j) - [i = j]. Signed, not squared, as the authors have it (gaussian_diffusion.py, <c>latent_orthog</c>).
/// Latents [N, Factors * D]; a latent shorter than 1e-12 is divided by 1e-12, as PyTorch's normalize does.
/// </summary>
/// <param name="Factors">Factors of an image.</param>
public sealed record PairwiseCosine(int Factors) : Operator
{
    /// <summary>Least length to divide by.</summary>
    public const double Epsilon = 1e-12;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value latents = Take(inputs, 0, "latents", 2);
        Require(Factors > 0 && latents.Shape[1] % Factors == 0 && latents.Shape.Count > 0,
            $"latents {latents} cannot be split into {Factors} factors");
        return [1];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(4.0 * inputs[0]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.Apply(new PairwiseCosineGrad(Factors), [node.Input(0), dy])];
}

/// <summary>
/// The gradient of <see cref="PairwiseCosine"/> by the latents: with u_i = z_i / |z_i| and s the sum of an image's u_i,
/// du = 2 s / (N Factors^2) dloss and dz_i = (du - u_i (u_i . du)) / |z_i|. Inputs: 0 latents [N, Factors * D]; 1 dloss [1].
/// </summary>
/// <param name="Factors">Factors of an image.</param>
public sealed record PairwiseCosineGrad(int Factors) : Operator
{
    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        new PairwiseCosine(Factors).Infer(inputs);
        Take(inputs, 1, "dloss", 1);
        RequireShape(inputs, 1, "dloss", [1]);
        return inputs[0]!.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 6);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.PairwiseCosine"/>
    public static Value PairwiseCosine(this Graph g, Value latents, int factors, string? name = null) =>
        g.Apply(new PairwiseCosine(factors), [latents], name);
}
