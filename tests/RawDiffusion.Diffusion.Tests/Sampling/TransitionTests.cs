using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>
/// Transitions that need one prediction, several at one level, and an earlier one: each as one compiled graph, against the formulas in
/// double precision, written out as a loop.
/// </summary>
public sealed class TransitionTests
{
    private static readonly GaussianDiffusion Process =
        new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, 5));

    private static readonly LabelCondition Label = new(1, 2, 3, 4);

    private static readonly float[] Start = [.. Enumerable.Range(0, 30).Select(i => MathF.Sin(3 * i))];

    [Test]
    public void Ddim_moves_by_any_prediction([Values] Prediction predicts) => Check(predicts, new Ddim(Process), (x, x0, step) =>
    {
        double alphaBar = Process.AlphasCumprod[4 - step], previous = Process.AlphasCumprodPrev[4 - step];
        return [.. x.Zip(x0, (xt, p) =>
            Math.Sqrt(previous) * p + Math.Sqrt(1 - previous) * (xt - Math.Sqrt(alphaBar) * p) / Math.Sqrt(1 - alphaBar))];
    });

    [Test]
    public void A_level_may_be_visited_several_times([Values] Prediction predicts)
    {
        var langevin = new Langevin(Process, repeats: 3);
        Assert.That(langevin.ModelTimesteps, Is.EqualTo(
            new[] { 800f, 800, 800, 600, 600, 600, 400, 400, 400, 200, 200, 200, 0, 0, 0 }));
        Check(predicts, langevin, (x, x0, step) =>
        {
            double alphaBar = Process.AlphasCumprod[4 - step / 3], h = Langevin.StepOf(Process, 4 - step / 3);
            return [.. x.Select((xt, i) =>
            {
                double eps = (xt - Math.Sqrt(alphaBar) * x0[i]) / Math.Sqrt(1 - alphaBar);
                return xt - h * eps / Math.Sqrt(1 - alphaBar) + Math.Sqrt(2 * h) * Noise(step, i);
            })];
        });
    }

    [Test]
    public void An_earlier_prediction_may_be_kept([Values] Prediction predicts)
    {
        double[] earlier = new double[Start.Length];
        Check(predicts, new Extrapolation(Process), (x, x0, step) =>
        {
            double alphaBar = Process.AlphasCumprod[4 - step], previous = Process.AlphasCumprodPrev[4 - step];
            double[] next = [.. x.Select((xt, i) =>
            {
                double d = step == 0 ? x0[i] : 1.5 * x0[i] - 0.5 * earlier[i];
                return Math.Sqrt((1 - previous) / (1 - alphaBar)) * xt
                    + (Math.Sqrt(previous) - Math.Sqrt((1 - previous) / (1 - alphaBar) * alphaBar)) * d;
            })];
            earlier = x0;
            return next;
        });
    }

    [TestCase("ddim", 50, true)]
    [TestCase("ddpm", null, false)]
    public void Samplers_have_names(string name, int? usualSteps, bool takesEta)
    {
        NamedSampler sampler = Samplers.Named(name);
        Assert.That((sampler.Name, sampler.UsualSteps, sampler.TakesEta), Is.EqualTo((name, usualSteps, takesEta)));
        Assert.That(sampler.For(Process).Count, Is.EqualTo(5));
    }

    [Test]
    public void A_sampler_that_is_none_is_refused_with_those_there_are() =>
        Assert.That(() => Samplers.Named("euler"), Throws.ArgumentException.With.Message.EqualTo(
            "expected a sampler (ddim, ddpm), found 'euler'"));

    // Steps without clipping, each from where the device is.
    private static void Check(Prediction predicts, Transition transition, Func<double[], double[], int, double[]> next)
    {
        var network = new LabelledNetwork(predicts);
        using var sampler = new Sampler(GoldenModel.Device, [network], [Composition.Of(Label)], transition,
            new SamplerOptions { Clip = false, ExternalNoise = true });
        sampler.Start(Start);
        float[] x = Start;
        for (int step = 0; step < transition.Count; step++)
        {
            int t = transition.Timesteps[step];
            double[] wide = [.. x.Select(v => (double)v)];
            double[] output = network.Mean(network.Row(wide, transition.ModelTimesteps[step], Label.Values));
            double signal = Math.Sqrt(Process.AlphasCumprod[t]), sigma = Math.Sqrt(1 - Process.AlphasCumprod[t]);
            double[] x0 = [.. wide.Zip(output, (xt, y) => predicts switch
            {
                Prediction.XStart => y,
                Prediction.Epsilon => (xt - sigma * y) / signal,
                Prediction.V => signal * xt - sigma * y,
                _ => throw new ArgumentOutOfRangeException(nameof(predicts)),
            })];
            sampler.WriteNoise([.. Enumerable.Range(0, x.Length).Select(i => (float)Noise(step, i))]);
            sampler.Step();
            x = sampler.Current();
            Comparer.RequireClose($"step {step}", next(wide, x0, step), [.. x.Select(v => (double)v)], Tolerance.RelativeToMax(2e-5));
        }
    }

    private static double Noise(int step, int i) => Math.Cos(7 * step + i);

    /// <summary>Unadjusted Langevin steps at each level: x' = x + h score + sqrt(2 h) z.</summary>
    private sealed class Langevin(GaussianDiffusion diffusion, int repeats)
        : LinearTransition(diffusion, Enumerable.Range(0, diffusion.Timesteps).Reverse().SelectMany(t => Enumerable.Repeat(t, repeats)))
    {
        public static double StepOf(GaussianDiffusion diffusion, int t) => 0.3 * diffusion.Betas[t];

        // The score is -eps / sqrt(1 - alpha-bar), with eps = (x - sqrt(alpha-bar) x0) / sqrt(1 - alpha-bar).
        protected override Update At(int step)
        {
            double alphaBar = Diffusion.AlphasCumprod[Timesteps[step]], h = StepOf(Diffusion, Timesteps[step]);
            return new Update(h * Math.Sqrt(alphaBar) / (1 - alphaBar), 1 - h / (1 - alphaBar), Math.Sqrt(2 * h));
        }
    }

    /// <summary>DDIM towards 3/2 of a prediction less 1/2 of the one before, which is a state.</summary>
    private sealed class Extrapolation(GaussianDiffusion diffusion)
        : Transition(diffusion, Enumerable.Range(0, diffusion.Timesteps).Reverse())
    {
        public override Value Append(Graph g, TransitionInputs inputs)
        {
            var predicted = new StepTable(Diffusion, inputs.Predicts, Timesteps, _ => new Update(1, 0, 0));
            var moved = new StepTable(Diffusion, Prediction.XStart, Timesteps, step => Of(step));
            Value earlier = g.State("earlier", inputs.X.Shape);
            Value x0 = g.DenoiseStep(inputs.Output, inputs.X, Table("predicted", predicted), inputs.Step, null, inputs.Clip);
            Value next = g.DenoiseStep(x0, inputs.X, Table("moved", moved), inputs.Step, earlier, clip: false);
            g.Assign(earlier, x0);
            return next;

            Value Table(string name, StepTable table) => g.Constant(name, [table.Count, StepTable.Columns], table.Coefficients.ToArray());
        }

        private Update Of(int step)
        {
            double alphaBar = Diffusion.AlphasCumprod[Timesteps[step]], previous = Diffusion.AlphasCumprodPrev[Timesteps[step]];
            double x = Math.Sqrt((1 - previous) / (1 - alphaBar)), d = Math.Sqrt(previous) - x * Math.Sqrt(alphaBar);
            return step == 0 ? new Update(d, x, 0) : new Update(1.5 * d, x, -0.5 * d);
        }
    }
}
