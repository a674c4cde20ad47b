using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class FeatureDistancesTests
{
    // tools/evaluation_goldens.py --networks: fewer samples than features, and more, and more than join a triangle at once.
    [TestCase(50, 12, 7.2695687767, 0.819216360737)]
    [TestCase(40, 64, 94.4552992422, 0.368454208705)]
    [TestCase(300, 64, 31.4945610373, 0.274283201555)]
    public void Values_are_PyTorchs(int rows, int width, double fid, double kid)
    {
        (float[] x, float[] y) = Sets(rows, width);
        // The root of a matrix is known to half the digits where it is nearly singular: that is the reference's error.
        Assert.That(FeatureDistances.Fid(x, y, width), Is.EqualTo(fid).Within(2e-6 * fid));
        (double mean, double deviation) = FeatureDistances.Kid(x, y, width);
        Assert.That(mean, Is.EqualTo(kid).Within(1e-9));
        Assert.That(deviation, Is.Zero, "all samples at once");
    }

    [Test]
    public void Sets_that_are_the_same_are_at_no_distance([Values(30, 90)] int rows)
    {
        float[] x = Drawn.Normal("fid x", rows * 40);
        Assert.That(FeatureDistances.Fid(x, x, 40), Is.Zero.Within(1e-10));
    }

    [Test]
    public void A_shift_is_its_square()
    {
        float[] x = [.. Drawn.Normal("fid x", 200 * 8).Select(v => MathF.Round(v * 1024) / 1024)], y = [.. x.Select(v => v + 2)];
        Assert.That(FeatureDistances.Fid(x, y, 8), Is.EqualTo(8 * 4).Within(1e-9));
    }

    [Test]
    public void The_distance_is_symmetric_and_takes_sets_of_different_sizes()
    {
        (float[] x, float[] y) = (Drawn.Normal("fid x", 30 * 20), Drawn.Normal("fid y", 70 * 20));
        Assert.That(FeatureDistances.Fid(x, y, 20), Is.EqualTo(FeatureDistances.Fid(y, x, 20)).Within(1e-9));
        Assert.That(FeatureDistances.Kid(x, y, 20).Deviation, Is.Positive, "subsets of the larger");
    }

    [Test]
    public void The_seed_decides_the_subsets()
    {
        (float[] x, float[] y) = (Drawn.Normal("fid x", 30 * 20), Drawn.Normal("fid y", 70 * 20));
        (double Mean, double Deviation) first = FeatureDistances.Kid(x, y, 20, 1), again = FeatureDistances.Kid(x, y, 20, 1);
        Assert.That(again, Is.EqualTo(first));
        Assert.That(FeatureDistances.Kid(x, y, 20, 2), Is.Not.EqualTo(first));
    }

    // One estimate has a standard deviation of 0.008 (200 draws in numpy), so 0.015 is five of the mean of eight.
    // Counting the pairs of a sample with itself, as the biased estimate does, would add 0.04.
    [Test]
    public void Unrelated_samples_of_one_distribution_have_a_kernel_distance_around_zero() =>
        Assert.That(Enumerable.Range(0, 8).Average(i => FeatureDistances.Kid(
        Drawn.Normal($"one {i}", 400 * 10), Drawn.Normal($"other {i}", 400 * 10), 10).Mean), Is.Zero.Within(0.015));

    [TestCase(0)]
    [TestCase(1)]
    public void Too_few_samples_have_no_distance(int rows)
    {
        Assert.That(FeatureDistances.Fid(new float[rows * 3], new float[30], 3), Is.NaN);
        Assert.That(FeatureDistances.Kid(new float[30], new float[rows * 3], 3).Mean, Is.NaN);
    }

    [Test]
    public void NaN_is_not_hidden()
    {
        float[] x = Drawn.Normal("fid x", 40), y = Drawn.Normal("fid y", 40);
        y[17] = float.NaN;
        Assert.That(FeatureDistances.Fid(x, y, 4), Is.NaN);
        Assert.That(FeatureDistances.Kid(y, x, 4).Mean, Is.NaN);
        Assert.That(() => FeatureDistances.Fid(x, y, 7), Throws.ArgumentException);
    }

    // As the tool draws them: y has another mean and spread, and its second feature follows x's first.
    private static (float[] X, float[] Y) Sets(int rows, int width)
    {
        float[] x = Drawn.Normal("fid x", rows * width);
        double[] y = [.. Drawn.Normal("fid y", rows * width).Select(v => 1.5 * v + 0.25)];
        for (int i = 0; i < rows; i++) y[i * width + 1] += x[i * width];
        return (x, [.. y.Select(v => (float)v)]);
    }
}
