using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// Declares the tensors of PyTorch's layers, each under the name of its module, and gives their values. What an untrained network holds is
/// what PyTorch begins with: convolutions and linear layers uniform in +- 1 / sqrt(fan in), biases alike; norms 1 and 0, running statistics
/// 0 and 1.
/// </summary>
public static class Layers
{
    /// <summary>A convolution.</summary>
    /// <param name="weights">Where tensors come from.</param>
    /// <param name="g">Graph that reads them.</param>
    /// <param name="name">Of the module.</param>
    /// <param name="inputs">Channels I.</param>
    /// <param name="outputs">Channels O.</param>
    /// <param name="kernel">Height and width K.</param>
    /// <param name="bias">Whether it has one.</param>
    /// <returns>Weight [O, K, K, I], in checkpoints [O, I, K, K], and bias [O].</returns>
    public static (Value Weight, Value? Bias) Conv(
        this IWeights weights, Graph g, string name, int inputs, int outputs, int kernel, bool bias = true) =>
        Affine(weights, g, name, [outputs, inputs, kernel, kernel], [outputs, kernel, kernel, inputs], inputs, bias);

    /// <summary>A 1-D convolution of kernel 1 over the positions of an image, as a 2-D one.</summary>
    /// <inheritdoc cref="Conv"/>
    /// <returns>Weight [O, 1, 1, I], in checkpoints [O, I, 1], and bias [O].</returns>
    public static (Value Weight, Value? Bias) Conv1d(this IWeights weights, Graph g, string name, int inputs, int outputs) =>
        Affine(weights, g, name, [outputs, inputs, 1], [outputs, 1, 1, inputs], inputs);

    /// <summary>A linear layer.</summary>
    /// <inheritdoc cref="Conv"/>
    /// <returns>Weight [O, I] and bias [O].</returns>
    public static (Value Weight, Value? Bias) Linear(
        this IWeights weights, Graph g, string name, int inputs, int outputs, bool bias = true) =>
        Affine(weights, g, name, [outputs, inputs], [outputs, inputs], channels: 1, bias);

    /// <summary>A linear layer that reads whole feature maps [H, W, C], which PyTorch flattens as [C, H, W].</summary>
    /// <param name="weights">Where tensors come from.</param>
    /// <param name="g">Graph that reads them.</param>
    /// <param name="name">Of the module.</param>
    /// <param name="positions">H * W.</param>
    /// <param name="channels">C, numbers of a pixel.</param>
    /// <param name="outputs">O.</param>
    /// <returns>Weight [O, H * W * C] and bias [O].</returns>
    public static (Value Weight, Value? Bias) FlattenedLinear(
        this IWeights weights, Graph g, string name, int positions, int channels, int outputs) =>
        Affine(weights, g, name, [outputs, channels * positions], [outputs, positions * channels], channels);

    /// <summary>A group norm or a layer norm.</summary>
    /// <param name="weights">Where tensors come from.</param>
    /// <param name="g">Graph that reads them.</param>
    /// <param name="name">Of the module.</param>
    /// <param name="channels">C, numbers of a pixel.</param>
    /// <returns>Scale and shift [C].</returns>
    public static (Value Gamma, Value Beta) Norm(this IWeights weights, Graph g, string name, int channels) =>
        (weights.Vector(g, $"{name}.weight", channels, 1), weights.Vector(g, $"{name}.bias", channels, 0));

    /// <summary>A batch norm with running statistics; <c>num_batches_tracked</c> is declared too.</summary>
    /// <inheritdoc cref="Norm"/>
    /// <returns>Scale, shift, running mean and running variance [C].</returns>
    public static (Value Gamma, Value Beta, Value Mean, Value Variance) BatchNorm(
        this IWeights weights, Graph g, string name, int channels)
    {
        (Value gamma, Value beta) = weights.Norm(g, name, channels);
        Value mean = weights.Vector(g, $"{name}.running_mean", channels, 0, TensorKind.Statistic);
        Value variance = weights.Vector(g, $"{name}.running_var", channels, 1, TensorKind.Statistic);
        weights.Unread(new NetworkTensor($"{name}.num_batches_tracked", [], []) { Kind = TensorKind.Counter });
        return (gamma, beta, mean, variance);
    }

    private static Value Vector(
        this IWeights weights, Graph g, string name, int length, float initial, TensorKind kind = TensorKind.Parameter) =>
        weights.Tensor(g, new NetworkTensor(name, [length], [length]) { Kind = kind, InitialMean = initial });

    private static (Value Weight, Value? Bias) Affine(
        IWeights weights, Graph g, string name, int[] shape, Shape layout, int channels, bool bias = true)
    {
        var weight = new NetworkTensor($"{name}.weight", shape, layout)
        {
            Channels = channels,
            InitialBound = 1 / MathF.Sqrt(layout.Count / shape[0]),
        };
        Value value = weights.Tensor(g, weight);
        int outputs = shape[0];
        return (value, !bias ? null
            : weights.Tensor(g, new NetworkTensor($"{name}.bias", [outputs], [outputs]) { InitialBound = weight.InitialBound }));
    }
}
