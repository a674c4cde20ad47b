namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Batch norm with running statistics: y = (x - mean) / sqrt(variance + eps) * gamma + beta, per channel.
/// Inputs: x [N, H, W, C], gamma, beta, mean, variance [C].
/// </summary>
/// <param name="Epsilon">Added to the variance; PyTorch's default is 1e-5.</param>
public sealed record BatchNorm(float Epsilon = 1e-5f) : Operator(arity: 5)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Gamma = 1, Beta = 2, Mean = 3, Variance = 4;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        string[] roles = ["x", "gamma", "beta", "mean", "variance"];
        for (int i = 1; i < 5; i++)
        {
            Take(inputs, i, roles[i], 1);
            RequireShape(inputs, i, roles[i], [x.Shape[^1]]);
        }
        return x.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 2);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="BatchNorm"/>
    public static Value BatchNorm(this Graph g, Value x, Value gamma, Value beta, Value mean, Value variance, float epsilon = 1e-5f,
        string? name = null) =>
        g.Apply(new BatchNorm(epsilon), [x, gamma, beta, mean, variance], name);
}
