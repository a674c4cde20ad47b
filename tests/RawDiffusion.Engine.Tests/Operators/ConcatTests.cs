using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ConcatTests
{
    private static readonly Shape[] Shapes = [[1, 1], [3, 5], [2, 5, 13, 20], [2, 17, 16, 3], [0, 3, 3, 4], [2, 0]];

    [Test]
    public void Last_dimensions_are_joined([ValueSource(nameof(Shapes))] Shape shape, [Values(1, 6, 33)] int second) =>
        OperatorContract.Check(
        "Concat", (g, v) => g.Concat(v[0]!, v[1]!), a => ForwardDefinitions.Concat(a[0]!, a[1]!), Argument.Input(shape),
            Argument.Input(shape.WithChannels(second)));

    [Test]
    public void NaN_stays_where_it_is([Values(0, 1)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.Concat(v[0]!, v[1]!), a => ForwardDefinitions.Concat(a[0]!, a[1]!), position, 7, Argument.Input([3, 5]),
            Argument.Input([3, 4]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application concat = (g, v) => g.Concat(v[0]!, v[1]!);
        OperatorContract.CheckShapesDisagree("Concat", concat, [0, 1], Argument.Input([2, 3]), Argument.Input([3, 3]));
        OperatorContract.CheckShapesDisagree("Concat", concat, [0, 1], Argument.Input([2, 3]), Argument.Input([2, 1, 3]));
        OperatorContract.CheckShapesDisagree("Concat", concat, [0, 1], Argument.Input([2]), Argument.Input([2]));
    }
}
