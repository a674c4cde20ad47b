using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class ReconstructionMetricsTests
{
    [Test]
    public void Values_are_those_of_the_definitions()
    {
        float[] a = Drawn.Image(3, 17, 23), b = Drawn.Image(3, 17, 23, "noise");
        double mse = ReconstructionMetrics.Mse(a, b);
        // tools/evaluation_goldens.py
        Assert.That(mse, Is.EqualTo(0.010044646184).Within(1e-11));
        Assert.That(ReconstructionMetrics.Psnr(mse), Is.EqualTo(19.980653564).Within(1e-8));
        Assert.That(ReconstructionMetrics.Ssim(a, b, 3, 17, 23), Is.EqualTo(0.913788419063).Within(1e-11));
        Assert.That(ReconstructionMetrics.Ssim(b, a, 3, 17, 23), Is.EqualTo(0.913788419063).Within(1e-11), "symmetric");
    }

    [Test]
    public void An_image_is_like_itself()
    {
        float[] a = Drawn.Image(1, 11, 11);
        Assert.That(ReconstructionMetrics.Mse(a, a), Is.Zero);
        Assert.That(ReconstructionMetrics.Psnr(0), Is.EqualTo(double.PositiveInfinity));
        Assert.That(ReconstructionMetrics.Ssim(a, a, 1, 11, 11), Is.EqualTo(1).Within(1e-15));
    }

    [Test]
    public void Black_and_white_differ_by_the_whole_range()
    {
        float[] black = new float[12 * 12], white = [.. Enumerable.Repeat(1f, 12 * 12)];
        Assert.That(ReconstructionMetrics.Mse(black, white), Is.EqualTo(1));
        Assert.That(ReconstructionMetrics.Psnr(1), Is.Zero);
        // Means 0 and 1, no variance: C1 C2 / ((1 + C1) C2).
        Assert.That(ReconstructionMetrics.Ssim(black, white, 1, 12, 12), Is.EqualTo(1e-4 / 1.0001).Within(1e-12));
    }

    [Test]
    public void NaN_is_not_hidden([Values(0, 300)] int at)
    {
        float[] a = Drawn.Image(3, 17, 23), b = Drawn.Image(3, 17, 23, "noise");
        b[at] = float.NaN;
        Assert.That(ReconstructionMetrics.Mse(a, b), Is.NaN);
        Assert.That(ReconstructionMetrics.Ssim(a, b, 3, 17, 23), Is.NaN);
    }

    [TestCase(10, 40)]
    [TestCase(40, 10)]
    public void An_image_smaller_than_the_window_has_no_ssim(int height, int width) =>
        Assert.That(ReconstructionMetrics.Ssim(new float[400], new float[400], 1, height, width), Is.NaN);

    [Test]
    public void Sizes_that_disagree_are_refused()
    {
        Assert.That(() => ReconstructionMetrics.Mse(new float[3], new float[4]), Throws.ArgumentException.With.Message.Contains("3 and 4"));
        Assert.That(() => ReconstructionMetrics.Mse([], []), Throws.ArgumentException);
        Assert.That(() => ReconstructionMetrics.Ssim(new float[121], new float[121], 3, 11, 11),
            Throws.ArgumentException.With.Message.Contains("[3, 11, 11]"));
    }
}
