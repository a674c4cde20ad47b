using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ScaleRowsTests
{
    private static readonly Shape[] Shapes = [[0, 3], [1], [5], [3, 7], [2, 5, 3, 3], [4, 9, 9, 16]];

    [Test]
    public void Each_row_has_a_scale_of_its_own([ValueSource(nameof(Shapes))] Shape shape) =>
        OperatorContract.CheckDefinition("ScaleRows", new ScaleRows(), Argument.Input(shape), Argument.Input([shape[0]]));

    /// <summary>A scale of 0 does not hide what is no number.</summary>
    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1)] int position)
    {
        var scale = Argument.Of(new Array64([3], [1, 0, 2]));
        OperatorContract.CheckDefinitionNaN(new ScaleRows(), position, 1, Argument.Input([3, 5]), scale);
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes() => OperatorContract.CheckShapesDisagree(
        "ScaleRows", (g, v) => g.ScaleRows(v[0]!, v[1]!), [1], Argument.Input([3, 5]), Argument.Input([5]));
}
