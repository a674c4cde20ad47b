using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Schedules;

public sealed class GaussianDiffusionTests
{
    private static readonly string[] Processes =
        ["squaredcos_T1000", "squaredcos_T200", "linear_T1000", "linear_T200"];

    // Betas of 4e-5 are differences of numbers near 1: ten digits are what double leaves of them.
    private static readonly Tolerance TenDigits = Tolerance.Relative(1e-10);

    [TestCaseSource(nameof(Processes))]
    public void Every_golden_array_is_matched(string process)
    {
        using TensorFile goldens = Goldens.Open("schedules");
        var full = new GaussianDiffusion(BetaSchedule.Named(process.Split('_')[0], int.Parse(process.Split("_T")[1])));
        int compared = 0;
        foreach (string name in goldens.Names)
        {
            if (!name.StartsWith(process, StringComparison.Ordinal)) continue;
            string[] parts = name[process.Length..].Split('/');
            GaussianDiffusion diffusion = parts[0] switch
            {
                "" => full,
                "_all" => full.Respace(Enumerable.Range(0, full.Timesteps)),
                _ => full.Respace(TimestepSpacing.Every(full.Timesteps, full.Timesteps / int.Parse(parts[0]["_every".Length..]))),
            };
            Comparer.RequireClose(name, goldens[name].ToDoubles(), Array(diffusion, parts[1]), ToleranceOf(parts[1]));
            compared++;
        }
        Assert.That(compared, Is.EqualTo(goldens.Names.Count(name => name.StartsWith(process, StringComparison.Ordinal))));
        Assert.That(compared, Is.GreaterThan(20));

        static Tolerance ToleranceOf(string array) => array is "timestep_map" or "model_t" ? Tolerance.Exact : TenDigits;
    }

    [Test]
    public void A_full_process_gives_the_model_the_index_and_a_respaced_one_rescales_to_a_thousand()
    {
        var full = new GaussianDiffusion(BetaSchedule.SquaredCosine(200));
        GaussianDiffusion spaced = full.Respace([0, 7, 199]);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(full.ModelTimesteps[199], Is.EqualTo(199));
            Assert.That(spaced.ModelTimesteps, Is.EqualTo(new[] { 0f, 35f, 995f }));
            Assert.That(spaced.TimestepMap, Is.EqualTo(new[] { 0, 7, 199 }));
            Assert.That(spaced.TrainingTimesteps, Is.EqualTo(200));
        }
    }

    [Test]
    public void Respacing_twice_is_respacing_once()
    {
        var full = new GaussianDiffusion(BetaSchedule.Linear(200));
        GaussianDiffusion once = full.Respace([0, 20, 180]);
        GaussianDiffusion twice = full.Respace(TimestepSpacing.Every(200, 10)).Respace([0, 1, 9]);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(twice.TimestepMap, Is.EqualTo(once.TimestepMap));
            Assert.That(twice.ModelTimesteps, Is.EqualTo(once.ModelTimesteps));
        }
        Comparer.RequireClose("betas", once.Betas, twice.Betas, TenDigits);
    }

    [Test]
    public void A_process_of_one_step_has_finite_tables()
    {
        GaussianDiffusion single = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace([0]);
        foreach (string name in new[] { "posterior_log_variance_clipped", "p_log_variance", "posterior_mean_coef1" })
            Comparer.RequireFinite(name, [1], [.. Array(single, name)]);
        Assert.That(single.PosteriorMeanCoef1[0], Is.EqualTo(1).Within(1e-12));
    }

    [TestCase(0.0)]
    [TestCase(1.0)]
    [TestCase(-0.1)]
    [TestCase(double.NaN)]
    public void A_beta_outside_the_open_unit_interval_is_refused(double beta) =>
        Assert.That(
            () => new GaussianDiffusion([0.1, beta]),
            Throws.ArgumentException.With.Message.Contains("strictly between 0 and 1").And.Message.Contains("index 1"));

    [Test]
    public void Respacing_refuses_what_is_not_a_timestep()
    {
        var diffusion = new GaussianDiffusion(BetaSchedule.SquaredCosine(10));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => diffusion.Respace([3, 10]), Throws.ArgumentException.With.Message.Contains("no timestep 10"));
            Assert.That(() => diffusion.Respace([-1]), Throws.ArgumentException.With.Message.Contains("no timestep -1"));
            Assert.That(() => diffusion.Respace([]), Throws.ArgumentException.With.Message.Contains("found none"));
        }
    }

    [Test]
    public void Schedules_refuse_bad_names_and_lengths()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => BetaSchedule.Named("cosine", 10), Throws.ArgumentException.With.Message.Contains("'cosine'"));
            Assert.That(() => BetaSchedule.Linear(20), Throws.ArgumentException.With.Message.Contains("at least 21"));
            Assert.That(() => BetaSchedule.SquaredCosine(0), Throws.ArgumentException.With.Message.Contains("at least 1"));
            Assert.That(new GaussianDiffusion(BetaSchedule.Linear(21)).Timesteps, Is.EqualTo(21));
        }
    }

    private static IReadOnlyList<double> Array(GaussianDiffusion diffusion, string name) => name switch
    {
        "betas" => diffusion.Betas,
        "alphas_cumprod" => diffusion.AlphasCumprod,
        "alphas_cumprod_prev" => diffusion.AlphasCumprodPrev,
        "alphas_cumprod_next" => diffusion.AlphasCumprodNext,
        "sqrt_alphas_cumprod" => diffusion.SqrtAlphasCumprod,
        "sqrt_one_minus_alphas_cumprod" => diffusion.SqrtOneMinusAlphasCumprod,
        "log_one_minus_alphas_cumprod" => diffusion.LogOneMinusAlphasCumprod,
        "sqrt_recip_alphas_cumprod" => diffusion.SqrtRecipAlphasCumprod,
        "sqrt_recipm1_alphas_cumprod" => diffusion.SqrtRecipm1AlphasCumprod,
        "posterior_variance" => diffusion.PosteriorVariance,
        "posterior_log_variance_clipped" => diffusion.PosteriorLogVarianceClipped,
        "posterior_mean_coef1" => diffusion.PosteriorMeanCoef1,
        "posterior_mean_coef2" => diffusion.PosteriorMeanCoef2,
        "p_log_variance" => diffusion.ModelLogVariance,
        "timestep_map" => [.. diffusion.TimestepMap.Select(t => (double)t)],
        "model_t" => [.. diffusion.ModelTimesteps.Select(t => (double)t)],
        _ => throw new ArgumentException($"no array {name}"),
    };
}
