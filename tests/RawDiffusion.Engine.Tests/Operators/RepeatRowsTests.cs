using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class RepeatRowsTests
{
    private static readonly int[][] Counts = [[1], [4], [3, 1, 2], [0, 2, 0], [2, 2], [0], []];

    [TestCaseSource(nameof(Counts))]
    public void Each_factor_gets_its_trajectorys_row(int[] counts)
    {
        RowGroups groups = Groups(counts);
        foreach (Shape shape in (Shape[])[[counts.Length], [counts.Length, 7], [counts.Length, 3, 5, 20], [counts.Length, 17, 16, 3]])
        {
            OperatorContract.Check("RepeatRows", (g, v) => g.RepeatRows(v[0]!, groups), a => ForwardDefinitions.RepeatRows(groups, a[0]!),
                Argument.Input(shape));
        }
    }

    [TestCaseSource(nameof(Counts))]
    public void An_embedding_is_added_on_the_way(int[] counts)
    {
        RowGroups groups = Groups(counts);
        OperatorContract.Check(
            "RepeatRowsEmbedding",
            (g, v) => g.Apply(new RepeatRows(groups), v),
            a => ForwardDefinitions.AddEmbedding(ForwardDefinitions.RepeatRows(groups, a[0]!), a[1]!),
            Argument.Input([counts.Length, 3, 5, 20]), Argument.Input([groups.Rows, 20]));
    }

    [Test]
    public void The_mean_weighs_rows([ValueSource(nameof(Counts))] int[] counts, [Values] Activation onLoad, [Values] bool affine)
    {
        RowGroups groups = Groups(counts);
        foreach (int channels in (int[])[1, 3, 20, 33])
        {
            OperatorContract.Check(
                "SumRows",
                (g, v) => g.Apply(new SumRows(groups, onLoad), v),
                a => ForwardDefinitions.SumRows(
                groups, ForwardDefinitions.Activate(onLoad, a[1] is { } scale ? ForwardDefinitions.Affine(a[0]!, scale) : a[0]!)),
                Argument.Input([groups.Rows, 3, 5, channels]), affine ? Argument.Input([groups.Rows, 2, channels]) : null);
        }
    }

    [Test]
    public void NaN_reaches_its_trajectory_and_no_other([Values] Activation onLoad, [Values(0, 1)] int position)
    {
        RowGroups groups = Groups([2, 1]);
        OperatorContract.CheckNaN(
            (g, v) => g.Apply(new SumRows(groups, onLoad), v),
            a => ForwardDefinitions.SumRows(groups, ForwardDefinitions.Activate(onLoad, ForwardDefinitions.Affine(a[0]!, a[1]!))),
            position, 21, Argument.Input([3, 2, 2, 20]), Argument.Input([3, 2, 20]));
    }

    [Test]
    public void The_mean_of_k_factors_has_equal_weights()
    {
        var groups = RowGroups.Mean(2, 4);
        Assert.That(groups.Weights, Is.EqualTo(Enumerable.Repeat(0.25f, 8)));
        Assert.That(groups.Owner, Is.EqualTo(new[] { 0, 0, 0, 0, 1, 1, 1, 1 }));
        Assert.That((groups.Count, groups.Rows), Is.EqualTo((2, 8)));
    }

    [TestCaseSource(nameof(Counts))]
    public void A_means_gradient_goes_to_all_its_rows_by_their_weights(int[] counts)
    {
        var groups = new RowGroups(counts, [.. Enumerable.Range(0, counts.Sum()).Select(r => 0.3f * (r - 2))]);
        foreach (int channels in (int[])[1, 20, 33])
        {
            OperatorContract.CheckDefinition(
                "SumRowsGradInput", new SumRowsGradInput(groups), Argument.Input([counts.Length, 3, 2, channels]));
        }
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        RowGroups groups = Groups([2, 1]);
        OperatorContract.CheckShapesDisagree("RepeatRows", (g, v) => g.RepeatRows(v[0]!, groups), [0], Argument.Input([3, 4]));
        OperatorContract.CheckShapesDisagree(
            "RepeatRows", (g, v) => g.Apply(new RepeatRows(groups), v), [1], Argument.Input([2, 3, 3, 4]), Argument.Input([2, 4]));
        OperatorContract.CheckShapesDisagree("SumRows", (g, v) => g.SumRows(v[0]!, groups), [0], Argument.Input([2, 3, 3, 4]));
        OperatorContract.CheckShapesDisagree(
            "SumRows", (g, v) => g.Apply(new SumRows(groups), v), [1], Argument.Input([3, 3, 3, 4]), Argument.Input([3, 1, 4]));
        Assert.Throws<GraphException>(() => new RowGroups([2, 1], [1, 1]));
        Assert.Throws<GraphException>(() => new RowGroups([2, -1], [1]));
    }

    // Weights as guidance makes them: of both signs, none like another.
    private static RowGroups Groups(int[] counts) =>
        new(counts, [.. Enumerable.Range(0, counts.Sum()).Select(i => (i % 2 == 0 ? 1f : -0.5f) / (i + 1))]);
}
