using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>What only configuration A's goldens hold: DDPM, eta, noise prediction, no clipping, T = 200, whole combinations.</summary>
public sealed class SamplerVariantTests
{
    private static readonly GaussianDiffusion Full = new(BetaSchedule.SquaredCosine(1000));
    private static readonly GaussianDiffusion Every20 = Full.Respace(TimestepSpacing.Every(1000, 50));
    private static readonly Ddim Ddim50 = new(Every20);
    private GoldenModel golden = null!;
    private GoldenTrajectories of = null!;
    private float[] noise = null!;

    [OneTimeSetUp]
    public void Open()
    {
        golden = new GoldenModel("A");
        of = new GoldenTrajectories(golden);
        noise = golden.Read("ddim.noise")[..of.ImageCount];
    }

    [OneTimeTearDown]
    public void Close() => golden.Dispose();

    [Test]
    public void NoisePrediction() =>
        Follow("ddim_eps.comp0", Ddim50, new SamplerOptions { Predicts = Prediction.Epsilon });

    [Test]
    public void NoisePredictionWithoutClipping() =>
        Follow("ddim_eps_noclip.comp0", Ddim50, new SamplerOptions { Predicts = Prediction.Epsilon, Clip = false });

    [Test]
    public void WithoutClipping() => Follow("ddim_noclip.comp0", Ddim50, new SamplerOptions { Clip = false });

    [Test]
    public void TwoHundredTrainingSteps()
    {
        GaussianDiffusion diffusion = new GaussianDiffusion(BetaSchedule.SquaredCosine(200)).Respace(TimestepSpacing.Every(200, 50));
        Follow("ddim_T200.comp0", new Ddim(diffusion));
    }

    [Test]
    public void Eta() => WithNoise("ddim_eta0.7.comp0", of.Factor(0, 0), new Ddim(Every20, 0.7), noise, 3);

    [Test]
    public void AncestralSampling()
    {
        float[] start = golden.Read("ddpm.x_T");
        WithNoise("ddpm.comp0", of.Factor(0, 0), new Ddpm(Full), start, 20);
        WithNoise("ddpm.mean", of.Whole(0), new Ddpm(Full), start, 20);
    }

    [Test]
    public void MeanVarianceAndX0OfOneAncestralStep()
    {
        // A step's mean is what it gives without noise; x0 is what a table gives that stops there.
        float[] x = golden.Read("ddpm.x_T");
        float[] prediction = of.Predict(x, 999, [of.Whole(0)]);
        SamplingStep step = new Ddpm(Full).Table(Prediction.XStart)[0];
        float[] x0 = [.. prediction.Select(p => Math.Clamp(p, -1f, 1f))];
        golden.Check("ddpm.p_mean_variance.t999.pred_xstart", x0);
        golden.Check("ddpm.p_mean_variance.t999.mean", [.. x0.Zip(x, (p, xt) => step.XStart * p + step.X * xt)]);
        golden.Check("ddpm.p_mean_variance.t999.log_variance", [2 * MathF.Log(step.Sigma)]);
    }

    [Test]
    public void LastAncestralStepsAddNoNoiseAtTheEnd()
    {
        // The tail of the full chain: t = 4, 3, 2, 1, 0 with the first five noises.
        WithNoise("ddpm_tail.mean", of.Whole(0), new Ddpm(Full), golden.Read("ddpm_tail.x_start_t4"), 5, firstStep: 995);
    }

    [Test]
    public void OfficialCombinations()
    {
        long[] pick = golden.Integers("comb.indices");
        using DecompModel second = GoldenModel.Load("A", "x2/");
        float[] images = golden.Read("x_start");
        float[] latent2 = second.Encode(GoldenModel.Device, images.AsSpan(of.ImageCount, of.ImageCount), 1);
        Composition[] compositions = [of.Sliced(pick), of.Added(), of.Crossed(pick, of.Latents[0], latent2)];
        using var sampler = new Sampler(GoldenModel.Device, [golden.Model.Denoiser, second.Denoiser], compositions, Ddim50);
        float[] x = sampler.Run([.. noise, .. noise, .. noise]);
        golden.Check("official.combine_slice.final", x.AsSpan(0, of.ImageCount));
        golden.Check("official.combine_add.final", x.AsSpan(of.ImageCount, of.ImageCount));
        golden.Check("official.combine_cross.final", x.AsSpan(2 * of.ImageCount, of.ImageCount));
    }

    [Test]
    public void TwoModelsInABatchOfTwoImages()
    {
        // The authors' function mixes the samples of a batch; the golden is the answer computed sample by sample.
        long[] pick = golden.Integers("comb.indices");
        using DecompModel second = GoldenModel.Load("A", "x2/");
        float[] latent2 = second.Encode(GoldenModel.Device, golden.Read("x_start"), 2);
        golden.Check("comb.cross.batch2_latent2", latent2);
        for (int b = 0; b < 2; b++)
        {
            float[] own = latent2[(b * latent2.Length / 2)..((b + 1) * latent2.Length / 2)];
            golden.CheckImage("comb.cross.batch2_correct", b,
                of.Predict(b, golden.Integers("t")[b], [of.Crossed(pick, of.Latents[b], own)], second));
        }
    }

    [Test]
    public void OptionsChangeTheResult()
    {
        float[] plain = Run(new SamplerOptions());
        Assert.That(Run(new SamplerOptions()), Is.EqualTo(plain), "the same seed gives the same bytes");
        Assert.That(Run(new SamplerOptions { Seed = 1 }), Is.Not.EqualTo(plain));

        float[] Run(SamplerOptions options)
        {
            var ddim = new Ddim(Full.Respace(TimestepSpacing.Every(1000, 5)), eta: 1);
            using var sampler = new Sampler(GoldenModel.Device, [golden.Model.Denoiser], [of.Factor(0, 0)], ddim, options);
            return sampler.Run(noise);
        }
    }

    private void Follow(string name, Transition transition, SamplerOptions? options = null)
    {
        using var sampler = new Sampler(GoldenModel.Device, [golden.Model.Denoiser], [of.Factor(0, 0)], transition, options);
        of.Follow(sampler, noise, name, 3);
    }

    private void WithNoise(string name, Composition composition, Transition transition, float[] start, int steps, int firstStep = 0)
    {
        float[] stepNoise = golden.Read("ddpm.step_noise");
        using var sampler = new Sampler(
            GoldenModel.Device, [golden.Model.Denoiser], [composition], transition, new SamplerOptions { ExternalNoise = true });
        sampler.Start(start, firstStep: firstStep);
        for (int step = 1; step <= steps; step++)
        {
            sampler.WriteNoise(stepNoise.AsSpan((step - 1) * of.ImageCount, of.ImageCount));
            sampler.Step();
            if (golden.Has($"{name}.step{step}")) golden.Check($"{name}.step{step}", sampler.Current());
        }
    }
}
