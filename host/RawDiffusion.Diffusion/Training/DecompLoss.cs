using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// The <see cref="DiffusionLoss"/> of Decomp Diffusion: each image is the mean of its K factors, whose latents an encoder, trained
/// together with the network, finds in the image itself.
/// </summary>
/// <remarks>
/// Beside the inputs of every loss it reads, where the options want them, <c>keep</c> [N] and, in training, <c>step</c> [1].
/// </remarks>
/// <param name="config">Architecture of the network.</param>
/// <param name="weights">Where the tensors of the network come from.</param>
/// <param name="options">What the loss is made of.</param>
public sealed class DecompLoss(UNetConfig config, IWeights weights, TrainingOptions options)
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

    private Value Append(Graph g, int images, int encodings, BlockDropout? dropout) => new DiffusionLoss(
        new DecompDenoiser(config, weights, options.Predicts, dropout), new EncodedLatents(config, weights, options, encodings))
        .Append(g, images);

    private sealed class EncodedLatents(UNetConfig config, IWeights weights, TrainingOptions options, int encodings)
        : IBatchCondition
    {
        public ConditionedRows Append(Graph g, Value xStart)
        {
            int n = xStart.Shape[0];
            Value latents = new LatentEncoder(config, weights).Encode(g, xStart, encodings, options.World); // [N, K * E / 2]
            Value given = options.UnconditionalProbability > 0 ? g.ScaleRows(latents, g.Input("keep", [n]), "keep") : latents;
            Value rows = g.Reshape(given, [n * config.NumComponents, config.LatentDim], "latents"); // [N * K, E / 2]
            return new ConditionedRows(
                RowGroups.Mean(n, config.NumComponents),
                new Dictionary<string, Value> { [LatentCondition.Input] = rows },
                options.LatentOrthogonality ? g.PairwiseCosine(latents, config.NumComponents, "orthogonality") : null);
        }
    }
}
