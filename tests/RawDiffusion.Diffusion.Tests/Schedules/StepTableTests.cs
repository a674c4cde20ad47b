using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Schedules;

/// <summary>
/// The folded steps against the reference's formulas, written out one after the other in double as in
/// diffusion/gaussian_diffusion.py.
/// </summary>
public sealed class StepTableTests
{
    private static readonly string[] Schedules = ["squaredcos", "linear"];
    private static readonly int[] Timesteps = [1000, 200];
    private static readonly Prediction[] All = Enum.GetValues<Prediction>();

    [Test]
    public void Ddim_steps_are_the_references(
        [ValueSource(nameof(Schedules))] string schedule,
        [ValueSource(nameof(Timesteps))] int timesteps,
        [Values(0, 50, 1)] int steps,
        [Values(0, 0.7, 1)] double eta,
        [ValueSource(nameof(All))] Prediction prediction)
    {
        GaussianDiffusion d = Process(schedule, timesteps, steps);
        StepTable table = new Ddim(d, eta).Table(prediction);
        RequireSteps(d, prediction, table, t => d.Timesteps - 1 - t, (t, x, predXStart, noise) =>
        {
            double eps = (d.SqrtRecipAlphasCumprod[t] * x - predXStart) / d.SqrtRecipm1AlphasCumprod[t];
            double alphaBar = d.AlphasCumprod[t];
            double alphaBarPrev = d.AlphasCumprodPrev[t];
            double sigma = eta * Math.Sqrt((1 - alphaBarPrev) / (1 - alphaBar)) * Math.Sqrt(1 - alphaBar / alphaBarPrev);
            double mean = predXStart * Math.Sqrt(alphaBarPrev) + Math.Sqrt(1 - alphaBarPrev - sigma * sigma) * eps;
            return mean + (t != 0 ? 1 : 0) * sigma * noise;
        });
        Assert.That(table.AddsNoise, Is.EqualTo(eta > 0 && d.Timesteps > 1));
    }

    [Test]
    public void Ancestral_steps_are_the_references(
        [ValueSource(nameof(Schedules))] string schedule,
        [ValueSource(nameof(Timesteps))] int timesteps,
        [Values(0, 50, 1)] int steps,
        [ValueSource(nameof(All))] Prediction prediction)
    {
        GaussianDiffusion d = Process(schedule, timesteps, steps);
        StepTable table = new Ddpm(d).Table(prediction);
        RequireSteps(d, prediction, table, t => d.Timesteps - 1 - t, (t, x, predXStart, noise) =>
        {
            double fraction = (d.Betas[t] + 1) / 2;
            double logVariance = fraction * Math.Log(d.Betas[t]) + (1 - fraction) * d.PosteriorLogVarianceClipped[t];
            double mean = d.PosteriorMeanCoef1[t] * predXStart + d.PosteriorMeanCoef2[t] * x;
            return mean + (t != 0 ? 1 : 0) * Math.Exp(0.5 * logVariance) * noise;
        });
        Assert.That(table.AddsNoise, Is.EqualTo(d.Timesteps > 1));
    }

    [Test]
    public void Inversion_steps_are_the_references(
        [ValueSource(nameof(Schedules))] string schedule,
        [ValueSource(nameof(Timesteps))] int timesteps,
        [Values(0, 50, 1)] int steps,
        [ValueSource(nameof(All))] Prediction prediction)
    {
        GaussianDiffusion d = Process(schedule, timesteps, steps);
        StepTable table = new DdimInversion(d).Table(prediction);
        RequireSteps(d, prediction, table, t => t, (t, x, predXStart, _) =>
        {
            double eps = (d.SqrtRecipAlphasCumprod[t] * x - predXStart) / d.SqrtRecipm1AlphasCumprod[t];
            double alphaBarNext = d.AlphasCumprodNext[t];
            return predXStart * Math.Sqrt(alphaBarNext) + Math.Sqrt(1 - alphaBarNext) * eps;
        });
        Assert.That(table.AddsNoise, Is.False);
    }

    [Test]
    public void Inversion_undoes_sampling_when_the_prediction_stays()
    {
        GaussianDiffusion d = Process("squaredcos", 1000, 50);
        StepTable sampling = new Ddim(d).Table(Prediction.XStart);
        StepTable inversion = new DdimInversion(d).Table(Prediction.XStart);
        const double predXStart = 0.3;
        for (int t = 1; t < d.Timesteps; t++)
        {
            SamplingStep down = sampling[d.Timesteps - 1 - t];
            SamplingStep up = inversion[t - 1];
            double x = down.XStart * predXStart + down.X * 0.8;
            Assert.That(up.XStart * predXStart + up.X * x, Is.EqualTo(0.8).Within(1e-5), $"timestep {t}");
        }
    }

    [Test]
    public void The_flat_table_holds_the_steps_row_by_row()
    {
        StepTable table = new Ddim(Process("squaredcos", 1000, 50), eta: 0.5).Table(Prediction.Epsilon);
        Assert.That(table.Coefficients.Length, Is.EqualTo(50 * StepTable.Columns));
        Assert.That(table.ModelTimesteps.ToArray(), Is.EqualTo(Enumerable.Range(0, 50).Select(i => 980f - 20 * i)));
        for (int i = 0; i < table.Count; i++)
        {
            (float predX, float predModel, float xStart, float x, float sigma, float t) = table[i];
            Assert.That(
                table.Coefficients.Slice(i * StepTable.Columns, StepTable.Columns).ToArray(),
                Is.EqualTo(new[] { predX, predModel, xStart, x, sigma }));
            Assert.That(t, Is.EqualTo(table.ModelTimesteps[i]));
        }
    }

    [Test]
    public void Each_prediction_gives_back_the_image_it_was_made_from([ValueSource(nameof(All))] Prediction prediction)
    {
        GaussianDiffusion d = Process("squaredcos", 1000, 50);
        StepTable table = new Ddim(d).Table(prediction);
        const double xStart = 0.4, eps = -1.3;
        for (int step = 0; step < table.Count; step++)
        {
            int t = d.Timesteps - 1 - step;
            double signal = Math.Sqrt(d.AlphasCumprod[t]), sigma = Math.Sqrt(1 - d.AlphasCumprod[t]);
            double output = prediction switch
            {
                Prediction.XStart => xStart,
                Prediction.Epsilon => eps,
                _ => signal * eps - sigma * xStart,
            };
            double found = table[step].PredX * (signal * xStart + sigma * eps) + table[step].PredModel * output;
            // The most noise multiplies float32's rounding by 1 / signal.
            Assert.That(found, Is.EqualTo(xStart).Within(2e-6 / signal), $"step {step}");
        }
    }

    [Test]
    public void A_prediction_that_is_none_is_refused() =>
        Assert.That(() => new Ddpm(Process("linear", 200, 0)).Table((Prediction)77), Throws.InstanceOf<ArgumentException>());

    [TestCase(-0.1)]
    [TestCase(1.1)]
    [TestCase(double.NaN)]
    public void An_eta_outside_0_to_1_is_refused(double eta) =>
        Assert.That(
            () => new Ddim(Process("squaredcos", 1000, 50), eta),
            Throws.ArgumentException.With.Message.Contains("eta must be between 0 and 1"));

    [Test]
    public void Eta_is_refused_where_it_would_do_nothing() =>
        Assert.That(
            () => Samplers.Named("ddpm").For(Process("squaredcos", 1000, 50), 0.5),
            Throws.ArgumentException.With.Message.Contains("eta 0.5 has no meaning for the ddpm sampler"));

    // 0 steps: the full process, not respaced.
    private static GaussianDiffusion Process(string schedule, int timesteps, int steps)
    {
        var full = new GaussianDiffusion(BetaSchedule.Named(schedule, timesteps));
        return steps == 0 ? full : full.Respace(TimestepSpacing.Every(timesteps, steps));
    }

    // The next x is linear in predXStart, x and noise, so three probes show the three folded factors one by one: a
    // small factor is checked to its own seven digits and cannot hide behind a large one. They are what a kernel is fed.
    private static void RequireSteps(
        GaussianDiffusion d,
        Prediction prediction,
        StepTable table,
        Func<int, int> timestepOfStep,
        Func<int, double, double, double, double> reference)
    {
        Assert.That(table.Count, Is.EqualTo(d.Timesteps));
        for (int i = 0; i < table.Count; i++)
        {
            int t = timestepOfStep(i);
            SamplingStep step = table[i];
            Assert.That(step.ModelTimestep, Is.EqualTo(d.ModelTimesteps[t]));
            Comparer.RequireClose(
                $"step {i}",
                [reference(t, 0, 1, 0), reference(t, 1, 0, 0), reference(t, 0, 0, 1)],
                [step.XStart, step.X, step.Sigma],
                // Half a unit in the last place of float32; the reference's own way to the factors cancels in double.
                new Tolerance(1e-11, 6e-8, 0));
            double alphaBar = d.AlphasCumprod[t];
            (double predX, double predModel) = prediction switch
            {
                Prediction.XStart => (0.0, 1.0),
                Prediction.Epsilon => (Math.Sqrt(1 / alphaBar), -Math.Sqrt(1 / alphaBar - 1)),
                // With x = sqrt(alpha-bar) x0 + sqrt(1 - alpha-bar) eps and v = sqrt(alpha-bar) eps - sqrt(1 - alpha-bar) x0.
                Prediction.V => (Math.Sqrt(alphaBar), -Math.Sqrt(1 - alphaBar)),
                _ => throw new ArgumentOutOfRangeException(nameof(prediction)),
            };
            Comparer.RequireClose(
                $"step {i}", [predX, predModel], [step.PredX, step.PredModel], Tolerance.Relative(6e-8));
        }
    }
}
