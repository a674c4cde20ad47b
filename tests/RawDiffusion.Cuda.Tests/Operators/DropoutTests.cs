using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class DropoutTests
{
    private static readonly KernelTolerance Stored = new(3e-6, 3e-6, 4e-3, 5e-4);

    private static readonly Shape[] Shapes = [[0, 2], [1], [7, 3], [2, 3, 5, 2], [2, 5, 4, 16]];

    [Test]
    public void It_drops_what_philox_says_and_scales_the_rest(
        [ValueSource(nameof(Shapes))] Shape shape, [Values(0f, 0.1f, 0.5f)] float rate, [Values(0, 2)] int step) =>
        KernelContract.Check(
            Stored, (g, v) => g.Dropout(v[0], Step(g, step), rate, 7, 3),
            a => [.. a[0].Select((x, i) => Word(i, step) >= rate * 4294967296.0 ? x / (1 - rate) : 0)],
            shape);

    [TestCase(-0.1f)]
    [TestCase(1f)]
    [TestCase(float.NaN)]
    public void A_rate_that_is_no_share_is_refused(float rate)
    {
        var g = new Graph();
        GraphException? e = Assert.Throws<GraphException>(() => g.Dropout(g.Input("x", [2]), g.State("step", [1], DType.I32), rate, 0, 0));
        Assert.That(e!.Message, Does.Contain("rate"));
    }

    private static Value Step(Graph g, int step)
    {
        Value value = g.State("step", [1], DType.I32);
        for (int i = 0; i < step; i++) value = g.NextStep(value);
        return value;
    }

    private static uint Word(int i, int step)
    {
        (uint a, uint b, uint c, uint d) = Philox.Block((uint)i / 4, 0, (uint)step, 0, 7, 3);
        return (i % 4) switch { 0 => a, 1 => b, 2 => c, _ => d };
    }
}
