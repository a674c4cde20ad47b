using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The convolutional encoder that turns an image into the latents of its K factors. Source: <c>latent_encoder</c> of the
/// authors' model/unet.py.
/// </summary>
/// <remarks>
/// The authors' Sequential applies ReLU again after each BasicBlock, which ends with one; that changes nothing and is
/// left out here.
/// </remarks>
/// <param name="config">Architecture of the network.</param>
/// <param name="weights">Where its tensors come from.</param>
public sealed class LatentEncoder(UNetConfig config, IWeights weights)
{
    // PyTorch's default.
    private const float Momentum = 0.1f;

    /// <summary>Images x [B, S, S, C] to latents [B, K * E / 2], factor k in columns k * E / 2 and on.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="x">Images.</param>
    /// <param name="trainings">
    /// 0: batch norm uses its running statistics. Else it uses the batch's own, and the running ones, states of the graph, move
    /// towards them so many times; the authors' loss encodes its images twice where it looks at the latents.
    /// </param>
    /// <param name="ranks">Processes that train together, over whose batches batch norm takes its statistics.</param>
    public Value Encode(Graph g, Value x, int trainings = 0, int ranks = 1)
    {
        using IDisposable scope = g.Scope("latent_encoder");
        int width = config.EncChannels;
        Value h = g.Relu(Conv(g, x, "0", width, bias: true), "1");
        int module = 2;
        for (int depth = 0; depth < UNetConfig.EncoderDepth; depth++, module += 4)
        {
            h = BasicBlock(g, h, $"{module}", trainings, ranks);
            // half the size, rounded up; twice the channels
            width *= 2;
            h = g.Relu(Conv(g, h, $"{module + 2}", width, bias: true, stride: 2), $"{module + 3}");
        }
        int positions = h.Shape[1] * h.Shape[2];
        h = g.Reshape(h, [x.Shape[0], positions * width], "14");
        (Value weight, Value? bias) = weights.FlattenedLinear(
            g, $"latent_encoder.{module + 1}", positions, width, config.NumComponents * config.LatentDim);
        return g.Relu(g.Linear(h, weight, bias, "15"), "16");
    }

    private Value BasicBlock(Graph g, Value x, string name, int trainings, int ranks)
    {
        int width = x.Shape[^1];
        Value h = g.Relu(Norm(g, Conv(g, x, name + ".conv1", width), name + ".bn1", trainings, ranks), name + ".relu");
        h = Norm(g, Conv(g, h, name + ".conv2", width), name + ".bn2", trainings, ranks);
        return g.Relu(g.Add(h, x, name + ".add"), name);
    }

    private Value Norm(Graph g, Value x, string name, int trainings, int ranks)
    {
        (Value gamma, Value beta, Value mean, Value variance) = weights.BatchNorm(g, "latent_encoder." + name, x.Shape[^1]);
        if (trainings == 0) return g.BatchNorm(x, gamma, beta, mean, variance, name: name);
        Value statistics = g.BatchNormStatistics(x, ranks, name + ".statistics");
        Follow(mean, RunningStatistic.Mean);
        Follow(variance, RunningStatistic.Variance);
        return g.Apply(new BatchNormTrain(Ranks: ranks), [x, gamma, beta, statistics], name);

        void Follow(Value running, RunningStatistic statistic)
        {
            Value next = running;
            for (int i = 0; i < trainings; i++)
            {
                next = g.Apply(new BatchNormRunning(statistic, Momentum, ranks * x.Shape.WithChannels(1).Count), [next, statistics],
                    running.Name);
            }

            g.Assign(running, next);
        }
    }

    private Value Conv(Graph g, Value x, string name, int outputs, bool bias = false, int stride = 1)
    {
        (Value weight, Value? b) = weights.Conv(g, "latent_encoder." + name, x.Shape[^1], outputs, kernel: 3, bias);
        return g.Conv2d(x, weight, b, stride, padding: 1, name: name);
    }
}
