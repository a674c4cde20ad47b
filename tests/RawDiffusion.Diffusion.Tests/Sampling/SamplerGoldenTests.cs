using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>Trajectories of each golden configuration against the authors' samplers. Images are NHWC.</summary>
[TestFixture("A")]
[TestFixture("B")]
[TestFixture("tiny_cf")]
[TestFixture("C")]
public sealed class SamplerGoldenTests(string config)
{
    private static readonly GaussianDiffusion Full = new(BetaSchedule.SquaredCosine(1000));
    private static readonly GaussianDiffusion Every20 = Full.Respace(TimestepSpacing.Every(1000, 50));
    private static readonly Ddim Ddim50 = new(Every20);
    private GoldenModel golden = null!;
    private GoldenTrajectories of = null!;

    [OneTimeSetUp]
    public void Open()
    {
        golden = new GoldenModel(config);
        of = new GoldenTrajectories(golden);
    }

    [OneTimeTearDown]
    public void Close() => golden.Dispose();

    [Test]
    public void FactorsAndCompositionOfAllImagesInOneBatch()
    {
        int images = golden.Images, factors = of.Factors;
        float[] noise = golden.Read("ddim.noise"); // [K + 1, B, S, S, C]
        var compositions = new List<Composition>();
        for (int k = 0; k <= factors; k++)
            for (int b = 0; b < images; b++) compositions.Add(k < factors ? of.Factor(b, k) : of.Whole(b));
        using var sampler = new Sampler(GoldenModel.Device, [golden.Model.Denoiser], compositions, Ddim50);
        sampler.Start(noise);
        if (golden.Has("ddim.mean.step1.pred_xstart"))
        {
            int kept = golden.Shape("ddim.mean.step1.pred_xstart")[0];
            float[] x0 = [.. Enumerable.Range(0, kept).SelectMany(b => of.Predict(
                noise.AsSpan((factors * images + b) * of.ImageCount, of.ImageCount), Ddim50.ModelTimesteps[0], [of.Whole(b)]))];
            golden.Check("ddim.mean.step1.pred_xstart", [.. x0.Select(p => Math.Clamp(p, -1f, 1f))]);
        }
        for (int step = 1; step <= 50; step++)
        {
            sampler.Step();
            float[] x = sampler.Current();
            for (int k = 0; k <= factors; k++)
            {
                string name = $"ddim.{(k < factors ? $"comp{k}" : "mean")}.{(step == 50 ? "final" : $"step{step}")}";
                // The goldens' README: no tolerance was measured for factors 1 to 3 of the published size, use 1e-3.
                bool unlisted = config == "C" && k is > 0 and < 4;
                if (golden.Has(name)) golden.Check(name, x.AsSpan(k * images * of.ImageCount), unlisted ? 1e-3 : null);
            }
        }
    }

    [Test]
    public void DdimInversion()
    {
        using var sampler = new Sampler(
            GoldenModel.Device, [golden.Model.Denoiser], [of.Whole(0)], new DdimInversion(Every20));
        of.Follow(sampler, golden.Read("x_start").AsSpan(0, of.ImageCount), "ddim_reverse.mean", 5);
    }

    [Test]
    public void GuidanceInDdim()
    {
        // Steps that were kept; of the published size's guidance there is a single evaluation only, tested below.
        int kept = golden.Names.Count(n => n.StartsWith("cfg.ddim_fixed.comp0.", StringComparison.Ordinal));
        Assert.That(kept, Is.EqualTo(config switch { "A" => 2, "B" => 3, "C" => 0, _ => 1 }));
        if (kept == 0) return;
        using var sampler = new Sampler(GoldenModel.Device, [golden.Model.Denoiser], [of.Factor(0, 0).Guided(10)], Ddim50);
        of.Follow(sampler, golden.Read("ddim.noise").AsSpan(0, of.ImageCount), "cfg.ddim_fixed.comp0", 3);
    }

    [Test]
    public void Guidance()
    {
        var checks = new Dictionary<string, Func<int, Composition>>
        {
            ["cfg.uncond.comp1"] = _ => Composition.Unconditional(),
            ["cfg.scale10.comp1"] = b => of.Factor(b, 1).Guided(10),
            ["cfg.scale10.mean"] = b => of.Whole(b).Guided(10),
        };
        string[] kept = [.. checks.Keys.Where(golden.Has)];
        Assert.That(kept, Has.Length.EqualTo(config == "C" ? 1 : 3));
        foreach (string name in kept)
        {
            for (int b = 0; b < golden.Shape(name)[0]; b++)
                golden.CheckImage(name, b, of.Predict(b, golden.Integers("t")[b], [checks[name](b)]));
        }
    }

    [Test]
    public void SlicedAndAddedFactors()
    {
        long t = golden.Integers("comb.add.t")[0];
        golden.Check("comb.slice", of.Predict(0, t, [of.Sliced(golden.Integers("comb.indices"))]));
        golden.Check("comb.add", of.Predict(0, t, [of.Added()]));
    }

    [Test]
    public void FactorsOfTwoModels()
    {
        using DecompModel second = GoldenModel.Load(config, "x2/");
        float[] images = golden.Read("x_start");
        float[] latent2 = second.Encode(GoldenModel.Device, images.AsSpan(of.ImageCount, of.ImageCount), 1);
        golden.Check("comb.cross.latent2", latent2);
        long[] pick = golden.Integers("comb.indices");
        long t = golden.Integers("comb.add.t")[0];
        golden.Check("comb.cross", of.Predict(0, t, [of.Crossed(pick, of.Latents[0], latent2)], second));
    }
}
