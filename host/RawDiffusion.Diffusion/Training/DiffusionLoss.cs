using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// The loss of some images, [1]: q-sample, the K factors' forward pass, mean squared error, and what the options add. Source: the
/// authors' <c>training_losses</c> (gaussian_diffusion.py).
/// </summary>
/// <remarks>
/// It reads these inputs of its graph, N images: <c>x_start</c> and <c>noise</c> [N, S, S, C]; <c>t</c>, <c>signal</c>, <c>sigma</c> and
/// <c>weights</c> [N]; where the options want them <c>keep</c> [N] and, in training, <c>step</c> [1]. They mean what those of
/// <see cref="TrainingGraph"/> mean.
/// </remarks>
/// <param name="config">The network.</param>
/// <param name="weights">Its tensors.</param>
/// <param name="options">What the loss is made of.</param>
public sealed class DiffusionLoss(UNetConfig config, IWeights weights, TrainingOptions options)
{
    // The first of as many streams as there are blocks; those before it are TrainingGraph's.
    private const uint DropoutStream = 16;

    /// <summary>As in evaluation: batch norm uses its running statistics, and nothing is dropped but latents.</summary>
    /// <param name="g">Graph to append to; gets the inputs.</param>
    /// <param name="images">N.</param>
    public Value InEvaluation(Graph g, int images) => Append(g, images, 0, null);

    /// <summary>
    /// As in training: batch norm uses the batch's statistics, which the running ones follow, and blocks drop activations.
    /// </summary>
    /// <param name="g">Graph to append to; gets the inputs.</param>
    /// <param name="images">N.</param>
    /// <param name="firstImage">Place of the first among those of all processes and parts of a batch.</param>
    public Value InTraining(Graph g, int images, int firstImage) =>
        Append(g, images, options.LatentOrthogonality ? 2 : 1, options.Dropout == 0 ? null
        : new((float)options.Dropout, options.Seed, DropoutStream, g.Input("step", [1], DType.I32),
        (long)config.NumComponents * firstImage));

    private Value Append(Graph g, int n, int encodings, BlockDropout? dropout)
    {
        Shape images = [n, config.ImageSize, config.ImageSize, config.ImageChannels];
        Value xStart = g.Input("x_start", images), noise = g.Input("noise", images), t = g.Input("t", [n]);
        Value latents = new LatentEncoder(config, weights).Encode(g, xStart, encodings, options.World); // [N, K * E / 2]
        Value given = options.UnconditionalProbability > 0 ? g.ScaleRows(latents, g.Input("keep", [n]), "keep") : latents;

        var unet = new UNet(config, weights, dropout);
        var groups = RowGroups.Mean(n, config.NumComponents);
        Value embedding = g.RepeatRows(unet.TimeEmbedding(g, t), groups, "time_embed.repeat"); // [N * K, E / 2]
        Value rows = g.Reshape(given, [n * config.NumComponents, config.LatentDim], "latents"); // [N * K, E / 2]
        Value xt = g.Add(g.ScaleRows(xStart, g.Input("signal", [n]), "q_sample.signal"),
        g.ScaleRows(noise, g.Input("sigma", [n]), "q_sample.noise"), "q_sample");
        Value prediction = unet.Predict(g, xt, embedding, rows, groups);

        Value loss = g.MseLoss(prediction, options.PredictXStart ? xStart : noise, g.Input("weights", [n]), "mse");
        if (!options.LatentOrthogonality) return loss;
        return g.Add(loss, g.PairwiseCosine(latents, config.NumComponents, "orthogonality"), "loss");
    }
}
