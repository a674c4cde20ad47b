using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class MaskMetricsTests
{
    private const int None = FactorMasks.Background;

    [Test]
    public void Values_are_those_of_the_definitions()
    {
        int[] objects = Drawn.Labels("objects", 400, 5);
        int[] factors = [.. Drawn.Labels("factors", 400, 4)
            .Select((f, i) => objects[i] < 3 && Drawn.Uniform("mix", i) < 0.6 ? objects[i] : f)];
        MaskMatch match = MaskMetrics.Match(factors, 3, objects, 4);
        // tools/evaluation_goldens.py
        Assert.That(match.AriAll, Is.EqualTo(0.234220093627).Within(1e-11));
        Assert.That(match.AriForeground, Is.EqualTo(0.236036397727).Within(1e-11));
        Assert.That(match.FactorOf, Is.EqualTo(new[] { 0, 1, 2, -1 }));
        Assert.That(match.IoU, Is.EqualTo(new[] { 0.462809917355, 0.407079646018, 0.450381679389, 0 }).Within(1e-11));
    }

    [Test]
    public void Names_of_factors_do_not_matter()
    {
        int[] objects = [None, 0, 0, 1, 1, 1, 2, None];
        MaskMatch match = MaskMetrics.Match([None, 3, 3, 0, 0, 0, 1, None], 4, objects, 3);
        Assert.That(match.FactorOf, Is.EqualTo(new[] { 3, 0, 1 }));
        Assert.That(match.IoU, Is.EqualTo(new[] { 1.0, 1, 1 }));
        Assert.That((match.AriForeground, match.AriAll), Is.EqualTo((1.0, 1.0)));
    }

    [Test]
    public void A_factor_is_of_one_object_alone()
    {
        // One factor covers both objects: it goes with the larger one, the other object has an empty factor.
        MaskMatch match = MaskMetrics.Match([0, 0, 0, None], 2, [0, 0, 1, None], 2);
        Assert.That(match.FactorOf, Is.EqualTo(new[] { 0, 1 }));
        Assert.That(match.IoU, Is.EqualTo(new[] { 2 / 3.0, 0 }));
    }

    [Test]
    public void Objects_without_a_pixel_do_not_count()
    {
        MaskMatch match = MaskMetrics.Match([0, None], 1, [1, None], 2);
        Assert.That(match.FactorOf, Is.EqualTo(new[] { -1, 0 }));
        Assert.That(match.IoU, Is.EqualTo(new[] { double.NaN, 1 }));
    }

    [Test]
    public void Background_alone_is_background()
    {
        int[] nothing = [None, None, None];
        MaskMatch match = MaskMetrics.Match(nothing, 2, nothing, 0);
        Assert.That(match.IoU, Is.Empty);
        Assert.That(match.AriForeground, Is.NaN);
        Assert.That(match.AriAll, Is.EqualTo(1));
        Assert.That(MaskMetrics.Match(nothing, 2, [0, 1, 1], 2).IoU, Is.EqualTo(new[] { 0.0, 0 }));
        Assert.That(MaskMetrics.Match([], 2, [], 1).AriAll, Is.NaN);
        Assert.That(MaskMetrics.Match([0], 1, [0], 1).AriAll, Is.EqualTo(1), "one pixel");
    }

    [Test]
    public void Pixels_of_the_background_count_in_one_index_alone()
    {
        // The factor spills over the background: foreground pixels are one segment in both.
        MaskMatch match = MaskMetrics.Match([0, 0, 0, 0], 1, [0, 0, None, None], 1);
        Assert.That(match.AriForeground, Is.EqualTo(1));
        Assert.That(match.AriAll, Is.Zero);
    }

    [Test]
    public void Labels_out_of_range_and_other_sizes_are_refused()
    {
        Assert.That(() => MaskMetrics.Match([2], 2, [0], 1), Throws.ArgumentException.With.Message.Contains("factor 2 of 2"));
        Assert.That(() => MaskMetrics.Match([0], 2, [1], 1), Throws.ArgumentException.With.Message.Contains("object 1 of 1"));
        Assert.That(() => MaskMetrics.Match([-2], 2, [0], 1), Throws.ArgumentException);
        Assert.That(() => MaskMetrics.Match([0, 0], 2, [0], 1), Throws.ArgumentException);
    }

    [Test]
    public void A_pixel_belongs_to_the_factor_that_departs_most()
    {
        // Two factors of 2 channels and 7 pixels; backgrounds (0.5, 0.1) and (0, 0.9) are the medians.
        float[] factors =
        [
            0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.8f, 0.9f,
            0.1f, 0.1f, 0.1f, 0.9f, 0.1f, 0.1f, 0.1f,
            0, 0, 0, 0, 0.3f, 0, 0,
            0.9f, 0.9f, 0.6f, 0.8f, 0.9f, 0.2f, 0.9f,
        ];
        Assert.That(FactorMasks.Label(factors, 2, 2, 0.25), Is.EqualTo(new[] { None, None, 1, 0, 1, 1, 0 }));
        Assert.That(FactorMasks.Label(factors, 2, 2, 0.5), Is.EqualTo(new[] { None, None, None, 0, None, 1, None }));
    }

    [Test]
    public void A_flat_or_undefined_factor_has_no_pixel()
    {
        Assert.That(FactorMasks.Label([0.7f, 0.7f, 0.7f], 1, 1, 0), Is.EqualTo(new[] { None, None, None }));
        Assert.That(FactorMasks.Label([float.NaN, 0, 0, 0, 1], 1, 1), Is.EqualTo(new[] { None, None, None, None, 0 }));
        Assert.That(FactorMasks.Label([float.NaN, float.NaN, float.NaN], 1, 1), Is.EqualTo(new[] { None, None, None }));
        Assert.That(FactorMasks.Label([], 2, 3), Is.Empty);
        Assert.That(() => FactorMasks.Label(new float[7], 2, 3), Throws.ArgumentException);
    }
}
