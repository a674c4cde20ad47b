using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class LossScaleTests
{
    // A good step; the last of a row, once where doubling would overflow; a bad step, also the last of a row and at a scale of 1.
    [TestCase(65536, 0, 0, 3.5, 65536, 1, 0)]
    [TestCase(65536, 17, 2, 0, 65536, 18, 2)]
    [TestCase(65536, 1998, 5, 1, 65536, 1999, 5)]
    [TestCase(65536, 1999, 5, float.MaxValue, 131072, 0, 5)]
    [TestCase(2.5521178e38, 1999, 5, 1, 2.5521178e38, 0, 5)]
    [TestCase(65536, 17, 0, double.PositiveInfinity, 32768, 0, 1)]
    [TestCase(65536, 1999, 3, double.NaN, 32768, 0, 4)]
    [TestCase(1, 0, 7, double.PositiveInfinity, 0.5, 0, 8)]
    public void It_doubles_after_a_row_of_good_steps_and_halves_after_a_bad_one(
        double scale, double row, double skipped, double norm, double nextScale, double nextRow, double nextSkipped)
    {
        float[] next = [(float)nextScale, (float)nextRow, (float)nextSkipped];
        Argument state = Argument.Of(new Array64([3], [(float)scale, row, skipped])), size = Argument.Of(new Array64([1], [norm]));
        Assert.That(Definition.Evaluate(new LossScale(), [state.Draw(new Random(0)), size.Draw(new Random(0))]).ToSingles(),
            Is.EqualTo(next));
        OperatorContract.CheckDefinition("LossScale", new LossScale(), state, size);
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Argument three = Argument.Input([3]), one = Argument.Input([1]);
        OperatorContract.CheckShapesDisagree("LossScale", (g, v) => g.LossScale(v[0]!, v[1]!), [0], Argument.Input([2]), one);
        OperatorContract.CheckShapesDisagree("LossScale", (g, v) => g.LossScale(v[0]!, v[1]!), [1], three, three);
    }

    /// <summary>What may overflow by design is what depends on the scale, but for the parameters.</summary>
    [Test]
    public void A_guard_looks_away_from_what_a_scaled_loss_may_overflow()
    {
        var g = new Graph();
        var layout = new ParameterLayout([("a", [64])]);
        Value state = g.State("state", [Adam.Rows, 64]), scale = g.State("scale", [LossScale.Length]), step = g.State(
            "step", [1], DType.I32);
        Value loss = g.Silu(g.Input("x", [1]));
        Value scaled = g.ScaleRows(loss, g.View(scale, [1], 0)), gradient = g.ScaleRows(g.View(state, [1, 64], 0), scaled);
        Value packed = g.Pack(layout, [g.View(gradient, [64], 0)]), norm = g.GradientNorm(layout, packed, scale);
        Value next = g.Adam(layout, new AdamOptions(), state, packed, norm, g.Input("rates", [2]), step, scale);
        Assert.That(NonFiniteException.Watched(g), Is.EquivalentTo(g.Nodes), "without its update it is no loss scale");
        g.Assign(scale, g.LossScale(scale, norm));
        IReadOnlySet<Node> watched = NonFiniteException.Watched(g);
        Assert.That(new[] { scaled, gradient, packed, norm }.Any(v => watched.Contains(v.Producer!)), Is.False);
        Assert.That(new[] { loss, next }.All(v => watched.Contains(v.Producer!)));
    }
}
