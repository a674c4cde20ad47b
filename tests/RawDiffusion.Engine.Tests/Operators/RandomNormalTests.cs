using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class RandomNormalTests
{
    private static readonly Shape[] Shapes = [[1], [3], [2, 5, 13, 3], [0, 4], [2, 16 * 1024 + 1]];

    [Test]
    public void Every_device_draws_what_the_host_draws([ValueSource(nameof(Shapes))] Shape shape, [Values(0, 1, 49)] int step) =>
        OperatorContract.Check(
        "RandomNormal",
        (g, v) => g.RandomNormal(shape, v[0]!, seed: 7, stream: 3),
        a => Host(shape, (uint)a[0]![0], 7, 3),
        Argument.Step(step));

    [Test]
    public void Seed_stream_and_step_bite()
    {
        Array64[] draws = [Host([64], 0, 1, 0), Host([64], 1, 1, 0), Host([64], 0, 2, 0), Host([64], 0, 1, 1)];
        for (int i = 0; i < draws.Length; i++)
            for (int j = 0; j < i; j++) Assert.That(draws[i].Values.Intersect(draws[j].Values), Is.Empty);
    }

    [Test]
    public void Rows_from_a_first_one_on_are_those_of_the_whole(
        [Values(0, 1, 2, 3)] int first, [Values(4, 5, 16 * 1024 + 3)] int length) =>
        OperatorContract.Check(
        "RandomNormal",
        (g, v) => g.RandomNormal([2, length], v[0]!, seed: 7, stream: 3, first: v[1]),
        a => new Array64([2, length], Host([first + 2, length], (uint)a[0]![0], 7, 3).Values[(first * length)..]),
        Argument.Step(5), Argument.Step(first));

    /// <summary>A million images of 64 x 64 pixels have more than 2^32 blocks of four numbers.</summary>
    [Test]
    public void Rows_past_32_bits_have_numbers_of_their_own()
    {
        const int First = 1_500_000, Length = 64 * 64 * 3;
        OperatorContract.Check(
            "RandomNormal",
            (g, v) => g.RandomNormal([1, Length], v[0]!, seed: 7, stream: 3, first: v[1]),
            a => Drawn((long)First * Length),
            Argument.Step(5), Argument.Step(First));
        Assert.That(Drawn((long)First * Length - (4L << 32)).Values, Is.Not.EqualTo(Drawn((long)First * Length).Values));

        static Array64 Drawn(long start)
        {
            float[] values = new float[Length];
            Philox.Normal(values, start, 5, 7, 3);
            return new Array64([1, Length], OperatorContract.Widen(values));
        }
    }

    [Test]
    public void A_first_row_that_is_no_integer_is_refused() =>
        OperatorContract.CheckRefusal((g, v) => g.RandomNormal([3], v[0]!, 1, 2, first: v[1]), ["RandomNormal", "in1"], Argument.Step(0),
        Argument.Input([1]));

    [Test]
    public void A_step_that_is_no_integer_is_refused() =>
        OperatorContract.CheckShapesDisagree("RandomNormal", (g, v) => g.RandomNormal([3], v[0]!, 1, 2), [0], Argument.Input([1]));

    private static Array64 Host(Shape shape, uint step, uint seed, uint stream)
    {
        float[] values = new float[shape.Count];
        Philox.Normal(values, 0, step, seed, stream);
        return new Array64(shape, OperatorContract.Widen(values));
    }
}
