namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Which rows of a batched U-Net pass belong to which trajectory. Rows of a trajectory stand together: trajectory n
/// has <see cref="Counts"/>[n] rows, and its prediction is their sum weighted by <see cref="Weights"/>.
/// One factor is one row of weight 1, a composition K rows of weight 1 / K; guidance adds a row for the null latent.
/// </summary>
public sealed class FactorGroups
{
    /// <summary>Makes a description from the number of rows of each trajectory and the weight of each row.</summary>
    /// <exception cref="GraphException">A count is less than 0, or the weights are not as many as the rows.</exception>
    public FactorGroups(IReadOnlyList<int> counts, IReadOnlyList<float> weights)
    {
        Counts = [.. counts];
        Weights = [.. weights];
        if (Counts.Any(c => c < 0) || Counts.Sum() != Weights.Count)
            throw new GraphException($"factor counts [{string.Join(", ", Counts)}] do not fit {Weights.Count} weights");
        int[] owner = new int[Weights.Count];
        for (int n = 0, r = 0; n < Counts.Count; n++)
            for (int k = 0; k < Counts[n]; k++) owner[r++] = n;
        Owner = owner;
    }

    /// <summary>Rows of each trajectory.</summary>
    public IReadOnlyList<int> Counts { get; }

    /// <summary>Weight of each row.</summary>
    public IReadOnlyList<float> Weights { get; }

    /// <summary>Trajectory of each row.</summary>
    public IReadOnlyList<int> Owner { get; }

    /// <summary>Number of trajectories.</summary>
    public int Trajectories => Counts.Count;

    /// <summary>Number of rows.</summary>
    public int Rows => Weights.Count;

    /// <summary>The mean over K factors for each of a number of trajectories.</summary>
    public static FactorGroups Mean(int trajectories, int factors) =>
        new([.. Enumerable.Repeat(factors, trajectories)], [.. Enumerable.Repeat(1f / factors, trajectories * factors)]);
}

/// <summary>
/// y[r] = x[trajectory of r] (+ e[r]): gives each factor its copy of what the factors share. x [N, ..], y [R, ..].
/// Input 1, optional, is an embedding [R, C] added to each position of a [R, H, W, C] output.
/// </summary>
/// <param name="Groups">Rows of each trajectory.</param>
public sealed record RepeatFactors(FactorGroups Groups) : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", -1);
        Require(x.Shape.Rank >= 1 && x.Shape[0] == Groups.Trajectories,
            $"x {x} must have {Groups.Trajectories} rows, one for each trajectory");
        Shape output = x.Shape.WithRows(Groups.Rows);
        RequireShape(inputs, 1, "embedding", [Groups.Rows, output[^1]]);
        return output;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        Engine.Cost.Elementwise(inputs, output, inputs.Count > 1 ? 1 : 0);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(node.Inputs[1] is null, "a repetition has no gradient once an embedding was fused into it");
        var sum = new FactorGroups(Groups.Counts, [.. Enumerable.Repeat(1f, Groups.Rows)]);
        Shape shape = node.Input(0).Shape;
        if (shape.Rank == 4) return [g.MeanFactors(dy, sum)];
        Value rows = g.Reshape(dy, [Groups.Rows, 1, 1, (int)(dy.Shape.Count / Math.Max(1, Groups.Rows))]);
        return [g.Reshape(g.MeanFactors(rows, sum), shape)];
    }
}

/// <summary>
/// y[n] = sum over the rows r of trajectory n of weight[r] * activation(affine(x[r])): the mean over factors, with
/// guidance weights where there are any. x [R, H, W, C], affine [R, 2, C] optional; y [N, H, W, C].
/// </summary>
/// <param name="Groups">Rows and weights of each trajectory.</param>
/// <param name="OnLoad">Activation applied to each input element.</param>
public sealed record MeanFactors(FactorGroups Groups, Activation OnLoad = Activation.None) : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, 0, "x", 4);
        Require(x.Shape[0] == Groups.Rows, $"x {x} must have {Groups.Rows} rows");
        RequireShape(inputs, 1, "affine", [x.Shape[0], 2, x.Shape[^1]]);
        return x.Shape.WithRows(Groups.Trajectories);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * inputs[0]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(OnLoad == Activation.None && node.Inputs[1] is null, "a mean over factors has no gradient once a norm was fused into it");
        return [g.Apply(new MeanFactorsGradInput(Groups), [dy])];
    }
}

/// <summary>
/// The gradient of <see cref="MeanFactors"/> without affine and activation: dx[r] = weight[r] * dy[trajectory of r].
/// dy [N, H, W, C]; dx [R, H, W, C]. The gradient of <see cref="RepeatFactors"/> needs no operator of its own: it is
/// <see cref="MeanFactors"/> with all weights 1.
/// </summary>
/// <param name="Groups">Rows and weights of each trajectory.</param>
public sealed record MeanFactorsGradInput(FactorGroups Groups) : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, 0, "dy", 4);
        Require(dy.Shape[0] == Groups.Trajectories, $"dy {dy} must have {Groups.Trajectories} rows, one for each trajectory");
        return dy.Shape.WithRows(Groups.Rows);
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="MeanFactors"/>
    public static Value MeanFactors(this Graph g, Value x, FactorGroups groups, string? name = null) =>
        g.Apply(new MeanFactors(groups), [x, null], name);

    /// <inheritdoc cref="RepeatFactors"/>
    public static Value RepeatFactors(this Graph g, Value x, FactorGroups groups, string? name = null) =>
        g.Apply(new RepeatFactors(groups), [x, null], name);
}
