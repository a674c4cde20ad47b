using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class MseLossTests
{
    // The last two are several blocks and several tasks, which span rows.
    private static readonly Shape[] Shapes = [[1], [5], [1, 1, 1, 1], [3, 5, 7, 3], [2, 16, 16, 8], [3, 129, 100, 3], [7000, 3]];

    [Test]
    public void It_is_the_weighted_mean_of_squares([ValueSource(nameof(Shapes))] Shape shape, [Values] bool weights) =>
        OperatorContract.CheckDefinition(
        "MseLoss", new MseLoss(), Argument.Input(shape), Argument.Input(shape), weights ? Argument.Input([shape[0]]) : null);

    [Test]
    public void Its_gradient_is_twice_the_weighted_difference([ValueSource(nameof(Shapes))] Shape shape, [Values] bool weights) =>
        OperatorContract.CheckDefinition(
        "MseLossGradPrediction", new MseLossGradPrediction(),
        Argument.Input(shape), Argument.Input(shape), weights ? Argument.Input([shape[0]]) : null, Argument.Input([1], 1024));

    [Test]
    public void NaN_reaches_the_loss([Values(0, 1, 2)] int position) =>
        OperatorContract.CheckDefinitionNaN(new MseLoss(), position, 1, Argument.Input([2, 3, 3, 7]), Argument.Input([2, 3, 3, 7]),
        Argument.Input([2]));

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 2)] int position) => OperatorContract.CheckDefinitionNaN(
        new MseLossGradPrediction(), position, 1, Argument.Input([2, 3, 3, 7]), Argument.Input([2, 3, 3, 7]), Argument.Input([2]),
            Argument.Input([1]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        var x = Argument.Input([2, 3]);
        OperatorContract.CheckShapesDisagree("MseLoss", (g, v) => g.MseLoss(v[0]!, v[1]!), [1], x, Argument.Input([3, 2]));
        OperatorContract.CheckShapesDisagree("MseLoss", (g, v) => g.MseLoss(v[0]!, v[1]!, v[2]), [2], x, x, Argument.Input([3]));
        OperatorContract.CheckShapesDisagree(
            "MseLoss", (g, v) => g.MseLoss(v[0]!, v[1]!), [0], Argument.Input([0, 3]), Argument.Input([0, 3]));
    }
}
