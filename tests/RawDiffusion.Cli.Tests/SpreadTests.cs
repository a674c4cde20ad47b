namespace RawDiffusion.Cli.Tests;

public sealed class SpreadTests
{
    [Test]
    public void Quartiles_are_interpolated()
    {
        Assert.That(Spread.Of([4, 1, 3, 2]), Is.EqualTo(new Spread(1, 1.75, 2.5, 3.25, 4)));
        Assert.That(Spread.Of([7]), Is.EqualTo(new Spread(7, 7, 7, 7, 7)));
    }
}
