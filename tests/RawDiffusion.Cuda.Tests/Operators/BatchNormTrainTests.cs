using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class BatchNormTrainTests
{
    private const float Epsilon = 1e-5f;
    private static readonly KernelTolerance Sums = new(1e-5, 1e-5, 1e-5, 1e-5), Stored = new(1e-5, 1e-5, 4e-3, 5e-4);

    private static readonly Shape[] Shapes = [[1, 1, 3, 4], [3, 5, 7, 33], [4, 9, 9, 8], [2, 3, 5, 330], [2, 40, 33, 20]];

    [TestCaseSource(nameof(Shapes))]
    public void Statistics_are_mean_and_biased_variance_of_the_batch(Shape x) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.Apply(new BatchNormStatistics(), [v[0]]), a => Statistics(x, a[0]), x);

    [TestCaseSource(nameof(Shapes))]
    public void It_normalises_with_the_batchs_statistics(Shape x) => KernelContract.Check(
        Stored,
        (g, v) => g.Apply(new BatchNormTrain(Epsilon), [v[0], v[1], v[2], g.Apply(new BatchNormStatistics(), [v[0]])]),
        a => Reference(x).Forward(a[0], a[1], a[2]),
        x, [x[3]], [x[3]]);

    [Test]
    public void Running_statistics_move_by_the_momentum(
        [ValueSource(nameof(Shapes))] Shape x, [Values] RunningStatistic statistic, [Values(0.1f, 0.25f)] float momentum)
    {
        long positions = x.Count / x[3];
        KernelContract.Check(
            KernelTolerance.Exact,
            (g, v) => g.Apply(new BatchNormRunning(statistic, momentum, positions), [v[1], g.Apply(new BatchNormStatistics(), [v[0]])]),
            a =>
            {
                double[] batch = Statistics(x, a[0]);
                return [.. a[1].Select((running, c) => (1 - (double)momentum) * running + momentum * (statistic == RunningStatistic.Mean
                    ? batch[c] : batch[x[3] + c] * positions / (positions - 1)))];
            },
            x, [x[3]]);
    }

    [TestCaseSource(nameof(Shapes))]
    public void The_gradients_by_gamma_and_beta_are_the_references(Shape x) => KernelContract.Check(
        Sums,
        (g, v) => g.Apply(new BatchNormGradAffine(Epsilon), [v[0], g.Apply(new BatchNormStatistics(), [v[0]]), v[1]]),
        a =>
        {
            double[] none = [.. Enumerable.Repeat(1.0, x[3])];
            (double[] Input, double[] Gamma, double[] Beta, double[] Film) gradients = Reference(x).Gradients(a[0], none, none, null, a[1]);
            return [.. gradients.Gamma, .. gradients.Beta];
        },
        x, x);

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_x_is_the_references(Shape x) => KernelContract.Check(
        Stored,
        (g, v) =>
        {
            Value statistics = g.Apply(new BatchNormStatistics(), [v[0]]);
            Value affine = g.Apply(new BatchNormGradAffine(Epsilon), [v[0], statistics, v[2]]);
            return g.Apply(new BatchNormGradInput(Epsilon), [v[0], v[1], statistics, v[2], affine]);
        },
        a => Reference(x).Gradients(a[0], a[1], a[1], null, a[2]).Input,
        x, [x[3]], x);

    [Test]
    public void A_batch_of_one_number_has_no_unbiased_variance()
    {
        var g = new Graph();
        GraphException? e = Assert.Throws<GraphException>(() =>
            g.Apply(new BatchNormRunning(RunningStatistic.Variance, 0.1f, 1), [g.Input("running", [3]), g.Input("statistics", [2, 3])]));
        Assert.That(e!.Message, Does.Contain("1 positions"));
    }

    private static NormReference Reference(Shape x) => new(1, x[0] * x[1] * x[2], x[3], x[3], Epsilon);

    private static double[] Statistics(Shape shape, double[] x)
    {
        int channels = shape[3];
        double[][] columns = [.. Enumerable.Range(0, channels).Select(c => x.Where((_, i) => i % channels == c).ToArray())];
        return [.. columns.Select(c => c.Average()), .. columns.Select(Variance)];
    }

    private static double Variance(double[] x)
    {
        double mean = x.Average();
        return x.Average(v => (v - mean) * (v - mean));
    }
}
