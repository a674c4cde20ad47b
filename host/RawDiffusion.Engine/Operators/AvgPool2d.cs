namespace RawDiffusion.Engine.Operators;

/// <summary>
/// 2 x 2 average pool with stride 2; an odd last row or column is dropped, as PyTorch does. With an affine
/// [N, 2, C] it pools activation(scale * x + shift), that is a normalised input it never writes out.
/// </summary>
/// <param name="OnLoad">Activation applied to each input element.</param>
public sealed record AvgPool2d(Activation OnLoad = Activation.None) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Affine = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Require(x.Shape[1] >= 2 && x.Shape[2] >= 2, $"x {x} is too small for a 2x2 pool");
        RequireShape(inputs, Affine, "affine", [x.Shape[0], 2, x.Shape[^1]]);
        return [x.Shape[0], x.Shape[1] / 2, x.Shape[2] / 2, x.Shape[^1]];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(OnLoad == Activation.None && node.Inputs[Affine] is null, "a pool has no gradient once a norm was fused into it");
        return [g.Apply(new AvgPool2dGradInput(node.Input(X).Shape[1], node.Input(X).Shape[2]), [dy])];
    }
}

/// <summary>
/// The gradient of <see cref="AvgPool2d"/> without affine and activation: dx[n, h, w, c] = dy[n, h / 2, w / 2, c] / 4,
/// 0 in an odd last row or column. dy [N, Height / 2, Width / 2, C].
/// </summary>
/// <param name="Height">Height of x.</param>
/// <param name="Width">Width of x.</param>
public sealed record AvgPool2dGradInput(int Height, int Width) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Dy = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 4);
        RequireShape(inputs, Dy, "dy", [dy.Shape[0], Height / 2, Width / 2, dy.Shape[3]]);
        return [dy.Shape[0], Height, Width, dy.Shape[3]];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="AvgPool2d"/>
    public static Value AvgPool2d(this Graph g, Value x, string? name = null) => g.Apply(new AvgPool2d(), [x, null], name);
}
