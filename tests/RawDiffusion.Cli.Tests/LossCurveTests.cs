using RawDiffusion.Cli.Output;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All)]
public sealed class LossCurveTests
{
    [Test]
    public void A_curve_goes_from_its_highest_to_its_lowest_value()
    {
        IReadOnlyList<string> lines = LossCurve.Draw([1, 0.1f, 0.01f, 0.001f], 2, 1);
        // One dot a column, each a row lower.
        Assert.That(lines, Has.Count.EqualTo(1));
        Assert.That(lines[0][..2], Is.EqualTo(new string([(char)(0x2800 + 0x01 + 0x10), (char)(0x2800 + 0x04 + 0x80)])));
        lines = LossCurve.Draw([.. Enumerable.Range(0, 1000).Select(i => (float)Math.Exp(-i / 100.0))], 10, 5);
        Assert.That(lines[0], Does.EndWith(" 0.7909"), "the mean of the first twentieth");
        Assert.That(lines[^1], Does.EndWith(" 0.0001"));
        Assert.That(lines.Select(l => l[..10]).All(l => l.All(c => c is >= '\u2800' and <= '\u28ff')));
    }

    [Test]
    public void What_cannot_be_drawn_is_left_out()
    {
        Assert.That(LossCurve.Draw([], 10, 3), Is.Empty);
        Assert.That(LossCurve.Draw([float.NaN, 0, float.PositiveInfinity, -1], 10, 3), Is.Empty);
        Assert.That(LossCurve.Draw([0.5f, 0.5f], 4, 3), Has.Count.EqualTo(3));
    }
}
