using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class SliceTests
{
    [Test]
    public void It_is_a_part_of_the_channels([Values(0, 1, 8)] int start, [Values(0, 3, 16)] int count)
    {
        foreach (Shape shape in (Shape[])[[3, start + count], [2, 3, 5, start + count + 8], [1, 17, 16, start + count + 1],
            [0, 2, 2, start + count]])
        {
            OperatorContract.CheckDefinition("Slice", new Slice(start, count), Argument.Input(shape));
        }
    }

    [Test]
    public void It_undoes_a_concatenation() => OperatorContract.Check(
        "Slice", (g, v) => g.Slice(g.Concat(v[0]!, v[1]!), 5, 7), a => a[1]!, Argument.Input([2, 3, 3, 5]), Argument.Input([2, 3, 3, 7]));

    [Test]
    public void Channels_beyond_the_last_are_refused() =>
        OperatorContract.CheckRefusal((g, v) => g.Slice(v[0]!, 3, 3), ["Slice", "channels 3 to 5", "in0 [2, 5]"], Argument.Input([2, 5]));
}
