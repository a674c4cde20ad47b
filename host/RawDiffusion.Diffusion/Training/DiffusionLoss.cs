using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// The loss of some images, [1]: q-sample, the network's prediction under the images' conditions, mean squared error, and what the
/// condition adds. Source: the authors' <c>training_losses</c> (gaussian_diffusion.py).
/// </summary>
/// <remarks>
/// It reads these inputs of its graph, N images: <c>x_start</c> and <c>noise</c> [N, H, W, C]; <c>t</c>, <c>signal</c>, <c>sigma</c> and
/// <c>weights</c> [N]; and those of the condition. They mean what those of <see cref="TrainingGraph"/> mean.
/// </remarks>
/// <param name="network">Whose loss it is.</param>
/// <param name="condition">What it is told of each image.</param>
public sealed class DiffusionLoss(IDenoiser network, IBatchCondition condition)
{
    /// <summary>Appends the loss.</summary>
    /// <param name="g">Graph to append to; gets the inputs.</param>
    /// <param name="n">Images.</param>
    public Value Append(Graph g, int n)
    {
        Shape images = [n, network.Height, network.Width, network.Channels];
        Value xStart = g.Input("x_start", images), noise = g.Input("noise", images), t = g.Input("t", [n]);
        ConditionedRows rows = condition.Append(g, xStart);
        Value signal = g.Input("signal", [n]), sigma = g.Input("sigma", [n]);
        Value xt = g.Add(g.ScaleRows(xStart, signal, "q_sample.signal"), g.ScaleRows(noise, sigma, "q_sample.noise"), "q_sample");
        Value output = network.Predict(g, xt, Timesteps.OfImages(t), rows.Inputs, rows.Groups);
        Value target = network.Predicts switch
        {
            Prediction.XStart => xStart,
            Prediction.Epsilon => noise,
            Prediction.V => g.Add(g.ScaleRows(noise, signal, "v.noise"), Negative(g, g.ScaleRows(xStart, sigma, "v.signal")), "v"),
            _ => throw new ArgumentOutOfRangeException(nameof(network), network.Predicts, "no such prediction"),
        };
        Value loss = g.MseLoss(DenoiserOutput.Mean(g, output, network.Channels), target, g.Input("weights", [n]), "mse");
        return rows.Loss is null ? loss : g.Add(loss, rows.Loss, "loss");
    }

    private static Value Negative(Graph g, Value x) =>
        g.ScaleRows(x, g.Constant("minus_one", [x.Shape[0]], destination => destination.Fill(-1)));
}
