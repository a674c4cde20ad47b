using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// A network that predicts, for each row, what is in a noisy image: one row is one image x_t at a time t under one condition.
/// </summary>
public interface IDenoiser
{
    /// <summary>H, pixels of the images that it was made for.</summary>
    int Height { get; }

    /// <summary>W, pixels of the images that it was made for.</summary>
    int Width { get; }

    /// <summary>C of the images.</summary>
    int Channels { get; }

    /// <summary>C of the predictions: that of the images, or twice as many where the network also learned the variance.</summary>
    int OutputChannels { get; }

    /// <summary>What the first <see cref="Channels"/> of its output mean.</summary>
    Prediction Predicts { get; }

    /// <summary>What tells a row its condition.</summary>
    IReadOnlyList<ConditionInput> ConditionInputs { get; }

    /// <summary>Writes the condition of a row that nothing is asked of, as the network was trained to read it.</summary>
    /// <param name="input">One of <see cref="ConditionInputs"/>.</param>
    /// <param name="destination">The row's elements of it.</param>
    void WriteNull(ConditionInput input, Span<float> destination);

    /// <summary>Appends the weighted sum of each image's rows.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="x">Noisy images [N, H, W, C].</param>
    /// <param name="t">Their times.</param>
    /// <param name="conditions">The rows' conditions [R, ..] by the names of <see cref="ConditionInputs"/>.</param>
    /// <param name="groups">Which of the R rows belong to which image, and their weights.</param>
    /// <param name="bias">
    /// Whether to add <see cref="Bias"/>. That is right where each image's weights sum to 1; elsewhere the caller adds it with their sum.
    /// </param>
    /// <returns>[N, H, W, <see cref="OutputChannels"/>].</returns>
    Value Predict(Graph g, Value x, Timesteps t, IReadOnlyDictionary<string, Value> conditions, RowGroups groups, bool bias = true);

    /// <summary>
    /// What a network adds to the sum of an image's rows, where its last layer is linear and runs once for each image: a constant
    /// [<see cref="OutputChannels"/>]. Null where all of a row's prediction is counted with the row's weight.
    /// </summary>
    Value? Bias(Graph g);
}

/// <summary>Parts of what a network predicts.</summary>
internal static class DenoiserOutput
{
    /// <summary>The channels that are the prediction; what a network learned of the variance stands behind them.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="output">[N, H, W, output channels].</param>
    /// <param name="channels">C of the images.</param>
    public static Value Mean(Graph g, Value output, int channels) =>
        output.Shape[^1] == channels ? output : g.Slice(output, 0, channels, "mean");
}

/// <summary>One of the inputs that tell a network the condition of each row.</summary>
/// <param name="Name">Of the input: <c>latents</c>.</param>
/// <param name="Shape">Of one row.</param>
public sealed record ConditionInput(string Name, Shape Shape);
