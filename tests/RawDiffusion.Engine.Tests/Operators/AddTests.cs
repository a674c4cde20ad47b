using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AddTests
{
    private static readonly Shape[] Shapes = [[], [1], [3, 5], [2, 5, 13, 33], [0, 4], [2, 16 * 1024 + 1]];

    [TestCaseSource(nameof(Shapes))]
    public void It_is_the_sum(Shape shape) => OperatorContract.Check(
        "Add", (g, v) => g.Add(v[0]!, v[1]!), a => ForwardDefinitions.Add(a[0]!, a[1]!), Argument.Input(shape), Argument.Input(shape, 3));

    [Test]
    public void A_value_can_be_added_to_itself() => OperatorContract.Check(
        "Add", (g, v) => g.Add(v[0]!, v[0]!), a => ForwardDefinitions.Add(a[0]!, a[0]!), Argument.Input([37]));

    [Test]
    public void NaN_stays_NaN([Values(0, 1)] int position, [Values(0, 36)] int element) => OperatorContract.CheckNaN(
        (g, v) => g.Add(v[0]!, v[1]!), a => ForwardDefinitions.Add(a[0]!, a[1]!), position, element, Argument.Input([37]),
            Argument.Input([37]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes() =>
        OperatorContract.CheckShapesDisagree("Add", (g, v) => g.Add(v[0]!, v[1]!), [0, 1], Argument.Input([2, 3]), Argument.Input([3, 2]));
}
