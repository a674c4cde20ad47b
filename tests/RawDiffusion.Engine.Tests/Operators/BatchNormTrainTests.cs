using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class BatchNormTrainTests
{
    private const float Epsilon = 1e-5f;

    // The last two are several blocks of 64 positions and several tasks of 8 blocks.
    private static readonly Shape[] Shapes = [[1, 1, 3, 4], [3, 5, 7, 33], [4, 9, 9, 8], [2, 3, 5, 330], [2, 40, 33, 20]];

    [TestCaseSource(nameof(Shapes))]
    public void Statistics_are_mean_and_biased_variance_of_the_batch(Shape x) =>
        OperatorContract.CheckDefinition("BatchNormStatistics", new BatchNormStatistics(), Argument.Input(x));

    /// <summary>Sums of squares taken in one pass would lose this variance.</summary>
    [TestCaseSource(nameof(Shapes))]
    public void A_large_mean_does_not_ruin_the_variance(Shape x)
    {
        foreach (int row in (int[])[0, 1])
        {
            OperatorContract.Check(
                "BatchNormOffset", (g, v) => g.Slice(g.Reshape(g.Apply(new BatchNormStatistics(), v), [1, 2 * x[3]]), row * x[3], x[3]),
                a => new Array64([1, x[3]], Definition.Evaluate(new BatchNormStatistics(), a).Values[(row * x[3])..((row + 1) * x[3])]),
                Argument.Input(x, mean: 100));
        }
    }

    [TestCaseSource(nameof(Shapes))]
    public void It_normalises_with_the_batchs_statistics(Shape x) => OperatorContract.CheckDefinition(
        "BatchNormTrain", new BatchNormTrain(Epsilon), Argument.Input(x), Argument.Input([x[3]], 1, 0.3), Argument.Input([x[3]]),
            Argument.Input([2, x[3]], 3, 0.3));

    /// <summary>A shift taken out after the multiplication would cost the result two digits.</summary>
    [TestCaseSource(nameof(Shapes))]
    public void A_large_mean_does_not_ruin_the_result(Shape x)
    {
        var statistics = new Array64([2, x[3]], [.. Enumerable.Repeat(100.0, x[3]), .. Enumerable.Repeat(1.0, x[3])]);
        OperatorContract.CheckDefinition(
            "BatchNormTrain", new BatchNormTrain(Epsilon), Argument.Input(x, 100), Argument.Input([x[3]], 1, 0.3), Argument.Input([x[3]]),
                Argument.Of(statistics));
    }

    [Test]
    public void Running_statistics_move_by_the_momentum(
        [Values(1, 7, 33, 330)] int channels, [Values] RunningStatistic statistic, [Values(0.1f, 0.25f)] float momentum) =>
        OperatorContract.CheckDefinition("BatchNormRunning", new BatchNormRunning(statistic, momentum, 7), Argument.Input([channels]),
        Argument.Input([2, channels]));

    [TestCaseSource(nameof(Shapes))]
    public void The_gradients_by_gamma_and_beta_are_the_definitions(Shape x) => OperatorContract.CheckDefinition(
        "BatchNormGradAffine", new BatchNormGradAffine(Epsilon), Argument.Input(x), Argument.Input([2, x[3]], 3, 0.3), Argument.Input(x));

    [Test]
    public void Without_positions_the_gradients_by_gamma_and_beta_are_zero() => OperatorContract.CheckDefinition(
        "BatchNormGradAffine", new BatchNormGradAffine(Epsilon), Argument.Input([0, 3, 3, 20]), Argument.Input([2, 20], 3, 0.3),
            Argument.Input([0, 3, 3, 20]));

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_x_is_the_definitions(Shape x)
    {
        // As large as sums over the positions are.
        var sums = Argument.Input([2, x[3]], 0, Math.Sqrt(x.Count / x[3]));
        OperatorContract.CheckDefinition(
            "BatchNormGradInput", new BatchNormGradInput(Epsilon), Argument.Input(x), Argument.Input([x[3]], 1, 0.3),
                Argument.Input([2, x[3]], 3, 0.3), Argument.Input(x), sums);
    }

    // The gradient of two numbers that are normalised to about 1 and -1 is what cancellation leaves.
    [TestCase("batchnorm_train_2x6x1x1", "GoldenPair")]
    [TestCase("batchnorm_train_3x10x7x5", "Golden")]
    public void Goldens(string name, string tolerance)
    {
        var golden = new GoldenOp(name);
        Argument x = golden.Input("x"), dy = golden.Input("grad_out");
        Argument gamma = golden.Constant("weight")!, beta = golden.Constant("bias")!;
        long positions = x.Shape.Count / x.Shape[3];
        OperatorContract.Check(tolerance, (g, v) => g.Apply(new BatchNormTrain(Epsilon), [v[0], v[1], v[2], Statistics(g, v[0]!)]),
            _ => golden.Image("out"), x, gamma, beta);
        OperatorContract.Check(
            tolerance, (g, v) => Affine(g, v[0]!, v[1]!),
            _ => new Array64([2, x.Shape[3]], [.. golden.Plain("grad.weight").Values, .. golden.Plain("grad.bias").Values]), x, dy);
        OperatorContract.Check(
            tolerance, (g, v) => g.Apply(new BatchNormGradInput(Epsilon),
                [v[0], v[1], Statistics(g, v[0]!), v[2], Affine(g, v[0]!, v[2]!)]), _ => golden.Image("grad.x"), x, gamma, dy);
        OperatorContract.Check(
            tolerance, (g, v) => g.Apply(new BatchNormRunning(RunningStatistic.Mean, 0.1f, positions), [v[1], Statistics(g, v[0]!)]),
            _ => golden.Plain("running_mean_after"), x, golden.Constant("running_mean"));
        OperatorContract.Check(
            tolerance, (g, v) => g.Apply(new BatchNormRunning(RunningStatistic.Variance, 0.1f, positions), [v[1], Statistics(g, v[0]!)]),
            _ => golden.Plain("running_var_after"), x, golden.Constant("running_var"));
    }

    [Test]
    public void NaN_reaches_its_channels_statistics([Values(0, 700 * 5 + 3)] int element) =>
        OperatorContract.CheckDefinitionNaN(new BatchNormStatistics(), 0, element, Argument.Input([2, 20, 20, 5]));

    [Test]
    public void NaN_reaches_its_channels_gradients([Values(0, 1, 2)] int position) => OperatorContract.CheckDefinitionNaN(
        new BatchNormGradAffine(), position, 4, Argument.Input([2, 3, 3, 5]), Argument.Input([2, 5], 3, 0.3), Argument.Input([2, 3, 3, 5]));

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 2, 3, 4)] int position) => OperatorContract.CheckDefinitionNaN(
        new BatchNormGradInput(), position, 2,
        Argument.Input([2, 3, 3, 5]), Argument.Input([5]), Argument.Input([2, 5], 3, 0.3), Argument.Input([2, 3, 3, 5]),
        Argument.Input([2, 5]));

    [Test]
    public void A_batch_of_one_number_has_no_unbiased_variance() => OperatorContract.CheckRefusal(
        (g, v) => g.Apply(new BatchNormRunning(RunningStatistic.Variance, 0.1f, 1), v), ["BatchNormRunning", "1 positions"],
            Argument.Input([3]), Argument.Input([2, 3]));

    [Test]
    public void A_batch_without_positions_has_no_statistics() =>
        OperatorContract.CheckShapesDisagree(
        "BatchNormStatistics", (g, v) => g.Apply(new BatchNormStatistics(), v), [0], Argument.Input([0, 3, 3, 5]));

    private static Value Statistics(Graph g, Value x) => g.Apply(new BatchNormStatistics(), [x]);

    private static Value Affine(Graph g, Value x, Value dy) => g.Apply(new BatchNormGradAffine(Epsilon), [x, Statistics(g, x), dy]);
}
