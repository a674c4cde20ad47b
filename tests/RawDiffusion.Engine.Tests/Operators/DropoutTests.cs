using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class DropoutTests
{
    private static readonly Shape[] Shapes = [[0, 2], [1], [7, 3], [2, 3, 5, 2], [3, 16 * 1024 + 1]];

    [Test]
    public void It_drops_what_philox_says_and_scales_the_rest(
        [ValueSource(nameof(Shapes))] Shape shape, [Values(0f, 0.1f, 0.5f)] float rate) =>
        OperatorContract.CheckDefinition("Dropout", new Dropout(rate, 7, 3), Argument.Input(shape), Argument.Step(2));

    [Test]
    public void A_part_drops_what_the_whole_drops_there([Values(0, 4, 40, 128)] int first, [Values(1, 7, 36, 200)] int length)
    {
        Array64 whole = Definition.Evaluate(new Dropout(0.5f, 7, 3), [new Array64([400]).Map(_ => 1), new Array64([1], [2])]);
        OperatorContract.Check("Dropout", (g, v) => g.Dropout(v[0]!, v[1]!, 0.5f, 7, 3, first),
            a => new Array64(a[0]!.Shape, [.. a[0]!.Values.Select((x, i) => x * whole[first + i])]), Argument.Input([length]),
            Argument.Step(2));
    }

    /// <summary>Vectors meet the end of 32 bits of a block's number.</summary>
    [Test]
    public void Elements_beyond_two_to_the_34th_have_words_of_their_own()
    {
        OperatorContract.CheckDefinition("Dropout", new Dropout(0.5f, 7, 3, (4L << 32) - 16), Argument.Input([100]), Argument.Step(2));
        Array64 At(long first) =>
            Definition.Evaluate(new Dropout(0.5f, 7, 3, first), [new Array64([100]).Map(_ => 1), new Array64([1], [2])]);
        Assert.That(At(4L << 32).Values, Is.Not.EqualTo(At(0).Values));
    }

    /// <summary>The definition draws from Philox itself; this is what it must come to.</summary>
    [Test]
    public void The_share_that_is_dropped_is_the_rate()
    {
        Array64 y = Definition.Evaluate(new Dropout(0.3f, 5, 6), [new Array64([100_000]).Map(_ => 1), new Array64([1], [4])]);
        Assert.That(y.Values.Count(v => v == 0) / 1e5, Is.EqualTo(0.3).Within(0.005));
        Assert.That(y.Values.Average(), Is.EqualTo(1).Within(0.01));
    }

    /// <summary>A dropped NaN is 0.</summary>
    [Test]
    public void NaN_stays_where_it_is_kept([Range(0, 4)] int element) => OperatorContract.CheckNaN(
        (g, v) => g.Apply(new Dropout(0.5f, 7, 3), v), a => Definition.Evaluate(new Dropout(0.5f, 7, 3), a), 0, Kept[element],
            Argument.Input([1000]), Argument.Step(2));

    [TestCase(-0.1f)]
    [TestCase(1f)]
    [TestCase(float.NaN)]
    public void A_rate_that_is_no_share_is_refused(float rate) =>
        OperatorContract.CheckRefusal((g, v) => g.Apply(new Dropout(rate, 0, 0), v), ["Dropout", "rate"], Argument.Input([2]),
        Argument.Step(0));

    [TestCase(-4L)]
    [TestCase(2L)]
    public void A_place_within_a_block_of_words_is_refused(long first) =>
        OperatorContract.CheckRefusal((g, v) => g.Apply(new Dropout(0.5f, 0, 0, first), v), ["Dropout", "first"], Argument.Input([2]),
        Argument.Step(0));

    // Elements of a thousand that are kept.
    private static int[] Kept
    {
        get
        {
            Array64 y = Definition.Evaluate(new Dropout(0.5f, 7, 3), [new Array64([1000]).Map(_ => 1), new Array64([1], [2])]);
            return [.. Enumerable.Range(0, 1000).Where(i => y[i] != 0)];
        }
    }
}
