using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class TableRowTests
{
    [Test]
    public void It_is_the_row_that_the_step_names([Values(-1, 0, 2, 4, 5, int.MaxValue)] int step, [Values(0, 1, 3)] int rows) =>
        OperatorContract.Check(
        "TableRow", (g, v) => g.TableRow(v[0]!, v[1]!, rows), a =>
            ForwardDefinitions.TableRow(a[0]!, a[1]![0], rows), Argument.Constant([5, 3, 7]),
            Argument.Step(step));

    [Test]
    public void The_next_step_is_one_further([Values(-1, 0, 2, 3)] int step) => OperatorContract.Check(
        "TableRow", (g, v) => g.TableRow(v[0]!, g.NextStep(v[1]!)), a => ForwardDefinitions.TableRow(a[0]!, a[1]![0] + 1, 1),
            Argument.Input([5, 7]), Argument.Step(step));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application row = (g, v) => g.TableRow(v[0]!, v[1]!);
        OperatorContract.CheckShapesDisagree("TableRow", row, [0], Argument.Constant([0, 5]), Argument.Step(0));
        OperatorContract.CheckShapesDisagree("TableRow", row, [1], Argument.Constant([3, 5]), Argument.Input([1]));
        OperatorContract.CheckShapesDisagree("NextStep", (g, v) => g.NextStep(v[0]!), [0], Argument.Input([1]));
    }
}
