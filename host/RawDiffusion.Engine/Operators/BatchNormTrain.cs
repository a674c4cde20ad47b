namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Mean and biased variance of each channel over a batch: x [N, H, W, C] gives [2, C], what batch norm normalises with
/// while it trains.
/// </summary>
public sealed record BatchNormStatistics() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Require(x.Shape.WithChannels(1).Count > 0, $"x {x} has no positions to take statistics of");
        return [2, x.Shape[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(4.0 * inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));
}

/// <summary>
/// Batch norm with the batch's own statistics: y = (x - mean) / sqrt(variance + eps) * gamma + beta, per channel.
/// Inputs: 0 x [N, H, W, C]; 1 gamma [C]; 2 beta [C]; 3 the output of <see cref="BatchNormStatistics"/>.
/// </summary>
/// <param name="Epsilon">Added to the variance; PyTorch's default is 1e-5.</param>
/// <param name="Ranks">Processes, equally large parts of whose batch the statistics are of: the gradient by x goes through all of
/// it.</param>
public sealed record BatchNormTrain(float Epsilon = 1e-5f, int Ranks = 1) : Operator(arity: 4)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Gamma = 1, Beta = 2, Statistics = 3;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = Take(inputs, X, "x", 4).Shape;
        Take(inputs, Gamma, "gamma", 1);
        Take(inputs, Beta, "beta", 1);
        Take(inputs, Statistics, "statistics", 2);
        RequireShape(inputs, Gamma, "gamma", [x[3]]);
        RequireShape(inputs, Beta, "beta", [x[3]]);
        RequireShape(inputs, Statistics, "statistics", [2, x[3]]);
        return x;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 2);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        // The gradient by x goes through the statistics too, so they get none of their own.
        Value x = node.Input(X), gamma = node.Input(Gamma), statistics = node.Input(Statistics);
        Value affine = g.Apply(new BatchNormGradAffine(Epsilon), [x, statistics, dy]);
        // Gamma and beta get this process's share, which is added up with all other gradients.
        return
        [
            wants(X) ? g.Apply(new BatchNormGradInput(Epsilon), [x, gamma, statistics, dy, MeanOverRanks(g, affine)]) : null,
            wants(Gamma) ? g.View(affine, gamma.Shape, 0, "gamma") : null,
            wants(Beta) ? g.View(affine, gamma.Shape, gamma.Shape.Count, "beta") : null,
        ];
    }

    // Sums over one process's positions, on average: the gradient divides by as many.
    private Value MeanOverRanks(Graph g, Value sums) => Ranks == 1 ? sums
        : g.ScaleRows(g.AllReduce(sums, Ranks, "sums"), g.Constant("share", [2], [1f / Ranks, 1f / Ranks]), "mean");
}

/// <summary>Which running statistic of a batch norm.</summary>
public enum RunningStatistic
{
    /// <summary>The mean.</summary>
    Mean,
    /// <summary>The variance, unbiased as PyTorch keeps it: of n numbers, n / (n - 1) times the biased one.</summary>
    Variance,
}

/// <summary>
/// running' = (1 - momentum) * running + momentum * the batch's statistic. Inputs: 0 running [C]; 1 the output of
/// <see cref="BatchNormStatistics"/> [2, C].
/// </summary>
/// <param name="Statistic">Which one.</param>
/// <param name="Momentum">Share of the batch; PyTorch's default is 0.1.</param>
/// <param name="Positions">Numbers in each channel of the batch, N * H * W; at least 2.</param>
public sealed record BatchNormRunning(RunningStatistic Statistic, float Momentum, long Positions) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Running = 0, Statistics = 1;

    /// <summary>Where <see cref="BatchNormStatistics"/> has the statistic, and what makes it unbiased when multiplied.</summary>
    public (int Row, double Factor) OfBatch() => Statistic switch
    {
        RunningStatistic.Mean => (0, 1),
        RunningStatistic.Variance => (1, Positions / (Positions - 1.0)),
        _ => throw GraphException.Unhandled(Statistic),
    };

    /// <inheritdoc/>
    public override int InPlaceInput => Running;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value running = Take(inputs, Running, "running", 1);
        Take(inputs, Statistics, "statistics", 2);
        RequireShape(inputs, Statistics, "statistics", [2, running.Shape[0]]);
        Require(Positions >= 2, $"{Positions} positions have no unbiased variance; training needs more than one value per channel");
        return running.Shape;
    }
}

/// <summary>
/// The gradients of <see cref="BatchNormTrain"/> by gamma and beta, [2, C]: sum dy xhat, then sum dy, over all positions.
/// Inputs: 0 x [N, H, W, C]; 1 statistics [2, C]; 2 dy [N, H, W, C].
/// </summary>
/// <param name="Epsilon">Added to the variance.</param>
public sealed record BatchNormGradAffine(float Epsilon = 1e-5f) : Operator(arity: 3)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Statistics = 1, Dy = 2;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = Take(inputs, X, "x", 4).Shape;
        Take(inputs, Statistics, "statistics", 2);
        Take(inputs, Dy, "dy", 4);
        RequireShape(inputs, Statistics, "statistics", [2, x[3]]);
        RequireShape(inputs, Dy, "dy", x);
        return [2, x[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(5.0 * inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));
}

/// <summary>
/// The gradient of <see cref="BatchNormTrain"/> by x: gamma * rstd * (dy - mean(dy) - xhat * mean(dy xhat)), means over all
/// positions. Inputs: 0 x [N, H, W, C]; 1 gamma [C]; 2 statistics [2, C]; 3 dy [N, H, W, C]; 4 the output of
/// <see cref="BatchNormGradAffine"/>.
/// </summary>
/// <param name="Epsilon">Added to the variance.</param>
public sealed record BatchNormGradInput(float Epsilon = 1e-5f) : Operator(arity: 5)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Gamma = 1, Statistics = 2, Dy = 3, Sums = 4;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => Dy;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape x = Take(inputs, X, "x", 4).Shape;
        Take(inputs, Gamma, "gamma", 1);
        Take(inputs, Statistics, "statistics", 2);
        Take(inputs, Dy, "dy", 4);
        Take(inputs, Sums, "gradient by gamma and beta", 2);
        RequireShape(inputs, Gamma, "gamma", [x[3]]);
        RequireShape(inputs, Statistics, "statistics", [2, x[3]]);
        RequireShape(inputs, Dy, "dy", x);
        RequireShape(inputs, Sums, "gradient by gamma and beta", [2, x[3]]);
        return x;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 7);
}

public static partial class GraphBuilder
{
    /// <summary>
    /// The statistics of batch norm over the batches of all processes, equally large: mean and biased variance of each channel,
    /// x [N, H, W, C] gives [2, C]. The variance is the mean of the processes' variances and the variance of their means.
    /// </summary>
    public static Value BatchNormStatistics(this Graph g, Value x, int ranks, string? name = null)
    {
        Value own = g.Apply(new BatchNormStatistics(), [x], name);
        if (ranks == 1) return own;
        int channels = x.Shape[3];
        using IDisposable scope = g.Scope(name ?? nameof(Operators.BatchNormStatistics));
        Value all = g.Reshape(g.AllGather(own, ranks, "gather"), [ranks, 1, 1, 2 * channels], "ranks");
        Value merged = g.Apply(new BatchNormStatistics(), [all], "merge"); // means of means and variances, then variances of both
        Value Row(int row) => g.View(merged, [1, 1, 1, channels], (long)row * channels, $"row{row}");
        return g.Reshape(g.Concat(Row(0), g.Add(Row(1), Row(2), "variance"), "mean_variance"), [2, channels], "merged");
    }
}
