namespace RawDiffusion.Engine.Operators;

/// <summary>
/// y[n] = sum over the rows r of group n of weight[r] * activation(affine(x[r])): the
/// weighted sum over each group. x [R, H, W, C], affine [R, 2, C] optional; y [N, H, W, C].
/// </summary>
/// <param name="Groups">Rows and weights of each group.</param>
/// <param name="OnLoad">Activation applied to each input element.</param>
public sealed record SumRows(RowGroups Groups, Activation OnLoad = Activation.None) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Affine = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Require(x.Shape[0] == Groups.Rows, $"x {x} must have {Groups.Rows} rows");
        RequireShape(inputs, Affine, "affine", [x.Shape[0], 2, x.Shape[^1]]);
        return x.Shape.WithRows(Groups.Count);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(OnLoad == Activation.None && node.Inputs[Affine] is null, "a sum over rows has no gradient once a norm was fused into it");
        return [g.Apply(new SumRowsGradInput(Groups), [dy])];
    }
}

/// <summary>
/// The gradient of <see cref="SumRows"/> without affine and activation: dx[r] = weight[r] * dy[group of r].
/// dy [N, H, W, C]; dx [R, H, W, C]. The gradient of <see cref="RepeatRows"/> needs no operator of its own: it is
/// <see cref="SumRows"/> with all weights 1.
/// </summary>
/// <param name="Groups">Rows and weights of each group.</param>
public sealed record SumRowsGradInput(RowGroups Groups) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Dy = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 4);
        Require(dy.Shape[0] == Groups.Count, $"dy {dy} must have {Groups.Count} rows, one for each group");
        return dy.Shape.WithRows(Groups.Rows);
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.SumRows"/>
    public static Value SumRows(this Graph g, Value x, RowGroups groups, string? name = null) =>
        g.Apply(new SumRows(groups), [x, null], name);
}
