using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>Any network under any composition, against sums in double precision.</summary>
public sealed class ComposedPredictionTests
{
    private static readonly LabelCondition A = new(1, 2, 3, 4), B = new(-1, 0.5f, 0, 2), C = new(0, -3, 1, 0);
    private static readonly LabelledNetwork Network = new(Prediction.Epsilon), Other = new(Prediction.Epsilon, salt: 7);
    private static readonly float[] Noisy = [.. Enumerable.Range(0, 2 * Network.ImageLength).Select(i => MathF.Sin(3 * i))];

    [Test]
    public void Conditions_are_added_and_taken_away() => Check([Network],
        Composition.Unconditional().And(Composition.Of(A), 7.5f).Not(Composition.Of(B), 2), Composition.Of(C));

    /// <summary>A product of energies, whose weights sum to 3: each row brings its bias.</summary>
    [Test]
    public void Weights_need_not_sum_to_1() => Check([Network],
        Composition.Sum((Composition.Of(A), 1), (Composition.Of(B), 1), (Composition.Of(C), 1)), Composition.Of(B));

    [Test]
    public void Networks_share_an_image_each_with_its_own_bias() => Check([Network, Other],
        Composition.Mean([Composition.Of(A), Composition.Of(B, 1), Composition.Of(C, 1)]).Guided(4), Composition.Of(B, 1));

    [Test]
    public void A_compiled_graph_takes_other_conditions_and_no_other_weights()
    {
        Composition[] first = [Composition.Of(A).Guided(3), Composition.Of(B)], second = [Composition.Of(C).Guided(3), Composition.Of(A)];
        (ComposedPrediction prediction, IExecutable executable) = Compile([Network], first);
        using (executable)
        {
            prediction.Write(executable, second);
            CheckRun(executable, [Network], second);
            Assert.That(() => prediction.Write(executable, [Composition.Of(C).Guided(2), Composition.Of(A)]),
                Throws.ArgumentException.With.Message.Contains("no other rows or weights"));
        }
    }

    [Test]
    public void What_cannot_be_combined_is_refused()
    {
        Composition[] one = [Composition.Of(A)];
        Assert.That(() => new ComposedPrediction([Network, new LabelledNetwork(Prediction.V)], one),
            Throws.ArgumentException.With.Message.Contains("Epsilon in 4 channels and V in 4"));
        using DecompModel decomp = GoldenModel.Load("A", "");
        Assert.That(() => new ComposedPrediction([Network, decomp.Denoiser], one),
            Throws.ArgumentException.With.Message.Contains("5 x 3 pixels of 2 channels and 32 x 32 pixels of 3 channels"));
        Assert.That(() => new ComposedPrediction([Network], [Composition.Of(A, 1)]),
            Throws.ArgumentException.With.Message.Contains("asks network 1 of 1"));
        Assert.That(() => Compile([Network], [Composition.Of(new LatentCondition(new float[4]))]),
            Throws.ArgumentException.With.Message.Contains("the network asks for 'label'"));
        Assert.That(() => new LatentCondition(new float[5]).Write(decomp.Denoiser, decomp.Denoiser.ConditionInputs[0], new float[16]),
            Throws.ArgumentException.With.Message.Contains("a latent of 16 numbers for the network, found 5"));
    }

    private static void Check(IReadOnlyList<LabelledNetwork> networks, params Composition[] compositions)
    {
        (_, IExecutable executable) = Compile(networks, compositions);
        using (executable) CheckRun(executable, networks, compositions);
    }

    private static (ComposedPrediction Prediction, IExecutable Executable) Compile(
        IReadOnlyList<LabelledNetwork> networks, IReadOnlyList<Composition> compositions)
    {
        var g = new Graph();
        var prediction = new ComposedPrediction(networks, compositions);
        Value x = g.Input("x", prediction.Images);
        g.Output("y", prediction.Append(g, x, Timesteps.OfStep(g.Constant("t", [3], [900, 20, 1]), g.Input("step", [1], DType.I32))));
        IExecutable executable = GoldenModel.Device.Compile(g);
        prediction.Write(executable, compositions);
        return (prediction, executable);
    }

    private static void CheckRun(IExecutable executable, IReadOnlyList<LabelledNetwork> networks, IReadOnlyList<Composition> compositions)
    {
        int length = Network.ImageLength;
        foreach ((int step, float t) in ((int, float)[])[(0, 900), (1, 20)])
        {
            executable.Write("x", Noisy);
            executable.Write("step", [step]);
            executable.Run();
            float[] found = new float[2 * Noisy.Length];
            executable.Read("y", found);
            for (int n = 0; n < compositions.Count; n++)
            {
                double[] x = [.. Noisy.Skip(n * length).Take(length).Select(v => (double)v)];
                double[] expected = new double[2 * length];
                foreach (CompositionRow row in compositions[n].Rows)
                {
                    float[] label = row.Condition is LabelCondition asked ? asked.Values : LabelledNetwork.NullLabel;
                    double[] y = networks[row.Model].Row(x, t, label);
                    for (int i = 0; i < y.Length; i++) expected[i] += row.Weight * y[i];
                }
                Comparer.RequireClose($"image {n} at {t}", expected,
                    [.. found.Skip(n * 2 * length).Take(2 * length).Select(v => (double)v)], Tolerance.Absolute(5e-5));
            }
        }
    }
}
