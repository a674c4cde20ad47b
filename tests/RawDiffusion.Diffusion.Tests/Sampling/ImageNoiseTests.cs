using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>Each image has noise of its own, which is the same whatever images it is sampled with.</summary>
public sealed class ImageNoiseTests
{
    private const uint Seed = 5;

    private static readonly Ddpm Ddpm = new(new GaussianDiffusion(BetaSchedule.SquaredCosine(20)));

    private static readonly LabelledNetwork Network = new(Prediction.XStart);

    private static readonly Composition[] OfImage = [Composition.Of(new LabelCondition(1, 2, 3, 4)), Composition.Unconditional()];

    private static int Length => Network.ImageLength;

    [Test]
    public void An_image_alone_is_that_of_a_batch_if_its_index_is_told()
    {
        float[] batch = Sample(first: 0, images: 4);
        for (int n = 0; n < 4; n++)
            Assert.That(Sample(first: n, images: 1), Is.EqualTo(batch[(2 * n * Length)..(2 * (n + 1) * Length)]), $"image {n}");
        Assert.That(Sample(first: 2, images: 2), Is.EqualTo(batch[(4 * Length)..]));
    }

    [Test]
    public void What_is_of_one_image_shares_its_noise_and_two_images_never_do()
    {
        // Steps that are nothing but noise: 0 x + 0 x0 + z.
        float[] x = Run(new OnlyNoise(), [.. OfImage, .. OfImage], new float[4 * Length], 0);
        float[][] rows = [.. x.Chunk(Length)];
        Assert.That(rows[1], Is.EqualTo(rows[0]));
        Assert.That(rows[3], Is.EqualTo(rows[2]));
        Assert.That(rows[2].Intersect(rows[0]), Is.Empty);
    }

    [Test]
    public void Image_n_has_the_elements_of_the_streams_that_follow_those_of_image_n_less_1([Values(0, 3)] int n)
    {
        float[] initial = new float[Length], step = new float[Length];
        Philox.Normal(initial, n * Length, 0, Seed, 0);
        Philox.Normal(step, n * Length, 0, Seed, 1);
        Assert.That(ImageNoise.Initial(Length, Seed, n), Is.EqualTo(initial));
        Assert.That(Run(new OnlyNoise(), OfImage, new float[2 * Length], n)[..Length], Is.EqualTo(step));
    }

    [Test]
    public void A_number_of_compositions_that_is_no_multiple_of_an_images_is_refused() => Assert.That(
        () => new Sampler(GoldenModel.Device, [Network], OfImage, Ddpm, new SamplerOptions { CompositionsOfImage = 3 }),
        Throws.ArgumentException.With.Message.Contains("3 compositions of each image, found 2"));

    private static float[] Sample(int first, int images) => Run(
        Ddpm, [.. Enumerable.Range(0, images).SelectMany(_ => OfImage)],
        [.. Enumerable.Range(first, images).SelectMany(n => Enumerable.Repeat(ImageNoise.Initial(Length, Seed, n), 2)).SelectMany(x => x)],
        first);

    private static float[] Run(Transition transition, Composition[] compositions, float[] x, int first)
    {
        using var sampler = new Sampler(GoldenModel.Device, [Network], compositions, transition,
            new SamplerOptions { Seed = Seed, CompositionsOfImage = OfImage.Length });
        return sampler.Run(x, first);
    }

    private sealed class OnlyNoise() : LinearTransition(Ddpm.Diffusion, [3])
    {
        protected override Update At(int step) => new(0, 0, 1);
    }
}
