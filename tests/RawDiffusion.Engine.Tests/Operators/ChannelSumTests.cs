using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ChannelSumTests
{
    private static readonly Shape[] Shapes =
        [[0, 3], [7], [1, 1, 1, 1], [37, 1], [5, 33], [3, 5, 7, 12], [2, 9, 9, 64], [1, 4, 4, 300], [2, 33, 40, 8], [5, 30, 31, 20]];

    [TestCaseSource(nameof(Shapes))]
    public void It_adds_all_positions_of_a_channel(Shape shape) => OperatorContract.Check(
        "ChannelSum", (g, v) => g.ChannelSum(v[0]!), a => Definition.Evaluate(new ChannelSum(), a), Argument.Input(shape));

    [Test]
    public void NaN_reaches_its_channel_and_no_other() => OperatorContract.CheckNaN(
        (g, v) => g.ChannelSum(v[0]!), a => Definition.Evaluate(new ChannelSum(), a), 0, element: 42, Argument.Input([3, 5, 7, 20]));
}
