using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>The U-Net of Decomp Diffusion: a row's condition is the latent of one factor, and no condition is a latent of zeros.</summary>
/// <param name="config">Architecture of the network.</param>
/// <param name="weights">Where the tensors of the network come from.</param>
/// <param name="predicts">What it was trained to predict.</param>
/// <param name="dropout">What residual blocks drop, in training.</param>
public sealed class DecompDenoiser(UNetConfig config, IWeights weights, Prediction predicts, BlockDropout? dropout = null)
    : IDenoiser
{
    /// <summary>The network itself.</summary>
    public UNet UNet { get; } = new(config, weights, dropout);

    /// <inheritdoc/>
    public int Height => config.ImageSize;

    /// <inheritdoc/>
    public int Width => config.ImageSize;

    /// <inheritdoc/>
    public int Channels => config.ImageChannels;

    /// <inheritdoc/>
    public int OutputChannels => config.ImageChannels;

    /// <inheritdoc/>
    public Prediction Predicts => predicts;

    /// <inheritdoc/>
    public IReadOnlyList<ConditionInput> ConditionInputs { get; } = [new(LatentCondition.Input, [config.LatentDim])];

    /// <inheritdoc/>
    public void WriteNull(ConditionInput input, Span<float> destination) => destination.Clear();

    /// <inheritdoc/>
    public Value Predict(
        Graph g, Value x, Timesteps t, IReadOnlyDictionary<string, Value> conditions, RowGroups groups, bool bias = true) =>
        UNet.Predict(g, x, t.Embed(g, times => UNet.TimeEmbedding(g, times), groups), conditions[LatentCondition.Input], groups, bias);

    /// <inheritdoc/>
    public Value? Bias(Graph g) => UNet.OutputBias(g);
}
