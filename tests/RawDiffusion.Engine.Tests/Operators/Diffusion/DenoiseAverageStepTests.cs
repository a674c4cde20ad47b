using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class DenoiseAverageStepTests
{
    // Rows of each trajectory.
    private static readonly int[][] Counts = [[1], [4], [3, 1, 2], [0, 2, 0], [0]];

    [Test]
    public void It_is_mean_convolution_and_step(
        [ValueSource(nameof(Counts))] int[] counts, [Values] Activation onLoad, [Values] bool clip, [Values] bool all)
    {
        var op = new DenoiseAverageStep(Groups(counts), onLoad, clip);
        int n = counts.Length, r = counts.Sum();
        foreach ((int h, int w, int c, int o) in (ReadOnlySpan<(int, int, int, int)>)[(1, 1, 1, 1), (3, 5, 20, 3), (13, 17, 33, 3),
            (6, 33, 48, 6), (4, 4, 3, 33), (35, 3, 20, 3)])
        {
            OperatorContract.Check("Conv2d", (g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a),
                Argument.Input([r, h, w, c]), Argument.Input([n, h, w, o]), Argument.Constant([4, 5]), Argument.Step(2),
                all ? Argument.Input([n, h, w, o]) : null, all ? Argument.Input([r, 2, c]) : null,
                Argument.Weight([o, 3, 3, c]), all ? Argument.Constant([o]) : null);
        }
    }

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 4, 5)] int position, [Values] Activation onLoad)
    {
        var op = new DenoiseAverageStep(Groups([2, 1]), onLoad, true);
        OperatorContract.CheckNaN((g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), position, 16, Arguments([3, 5, 7, 20]));
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application apply = (g, v) => g.Apply(new DenoiseAverageStep(Groups([2, 1]), Activation.Silu, true), v);
        foreach ((int position, Shape wrong) in (ReadOnlySpan<(int, Shape)>)[
            (0, [2, 5, 7, 20]), (1, [3, 5, 7, 3]), (1, [2, 5, 6, 3]), (2, [4, 4]), (4, [2, 5, 7, 4]), (5, [3, 1, 20]), (6, [3, 3, 3, 19]),
                (6, [3, 1, 1, 20]), (7, [20])])
        {
            Argument?[] arguments = Arguments([3, 5, 7, 20]);
            arguments[position] = Argument.Input(wrong);
            OperatorContract.CheckShapesDisagree("DenoiseAverageStep", apply, [position], arguments);
        }
        Argument?[] missing = Arguments([3, 5, 7, 20]);
        missing[6] = null;
        OperatorContract.CheckRefusal(apply, ["DenoiseAverageStep", "weight is missing"], missing);
    }

    private static Argument?[] Arguments(Shape h) =>
    [
        Argument.Input(h), Argument.Input([2, h[1], h[2], 3]), Argument.Constant([4, 5]), Argument.Step(1), Argument.Input(
            [2, h[1], h[2], 3]),
        Argument.Input([h[0], 2, h[3]]), Argument.Weight([3, 3, 3, h[3]]), Argument.Constant([3]),
    ];

    private static RowGroups Groups(int[] counts) =>
        new(counts, [.. Enumerable.Range(0, counts.Sum()).Select(i => (i % 2 == 0 ? 1f : -0.5f) / (i + 1))]);
}
