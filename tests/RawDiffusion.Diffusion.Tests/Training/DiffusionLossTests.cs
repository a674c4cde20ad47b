using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Tests.Sampling;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>The loss of a network whose condition is a label that the caller gives, against its formula in double precision.</summary>
public sealed class DiffusionLossTests
{
    private const int Images = 2;

    [Test]
    public void It_is_the_weighted_mean_of_squares([Values] Prediction predicts, [Values] bool hasOwnLoss)
    {
        var network = new LabelledNetwork(predicts);
        int length = network.ImageLength;
        float[] xStart = Wave(Images * length, 0.7f), noise = Wave(Images * length, 1.9f), labels = Wave(Images * 4, 0.3f);
        float[] t = [700, 20], signal = [0.6f, 0.9f], sigma = [0.8f, 0.43f], weights = [1.5f, 0.5f];
        var g = new Graph();
        g.Output("loss", new DiffusionLoss(network, new GivenLabels(hasOwnLoss)).Append(g, Images));
        using IExecutable executable = GoldenModel.Device.Compile(g);
        foreach ((string name, float[] values) in ((string, float[])[])[("x_start", xStart), ("noise", noise), ("t", t),
            ("signal", signal), ("sigma", sigma), ("weights", weights), (LabelledNetwork.Label, labels)])
        {
            executable.Write(name, values);
        }
        executable.Run();
        float[] loss = new float[1];
        executable.Read("loss", loss);

        double expected = hasOwnLoss ? 3 : 0;
        for (int n = 0; n < Images; n++)
        {
            double[] x0 = Widen(xStart, n), eps = Widen(noise, n);
            double[] y = network.Row([.. x0.Zip(eps, (a, b) => signal[n] * a + sigma[n] * b)], t[n], labels[(4 * n)..(4 * n + 4)]);
            double[] target = predicts switch
            {
                Prediction.XStart => x0,
                Prediction.Epsilon => eps,
                _ => [.. x0.Zip(eps, (a, b) => signal[n] * b - sigma[n] * a)],
            };
            expected += weights[n] / Images * network.Mean(y).Zip(target, (a, b) => (a - b) * (a - b)).Average();
        }
        Assert.That(loss[0], Is.EqualTo(expected).Within(1e-4).Percent);

        double[] Widen(float[] values, int n) => [.. values.Skip(n * length).Take(length).Select(v => (double)v)];
    }

    private static float[] Wave(int count, float frequency) => [.. Enumerable.Range(0, count).Select(i => MathF.Sin(frequency * i + 1))];

    private sealed class GivenLabels(bool hasOwnLoss) : IBatchCondition
    {
        public ConditionedRows Append(Graph g, Value xStart) => new(
            RowGroups.Mean(xStart.Shape[0], 1),
            new Dictionary<string, Value> { [LabelledNetwork.Label] = g.Input(LabelledNetwork.Label, [xStart.Shape[0], 4]) },
            hasOwnLoss ? g.Constant("own", [1], [3]) : null);
    }
}
