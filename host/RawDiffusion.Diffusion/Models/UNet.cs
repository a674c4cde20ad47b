using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The denoising U-Net, evaluated for all factors of all trajectories as one batch. Scopes are the checkpoint's module
/// names, so that <c>input_blocks.3.0.in_layers.2</c> is a tensor of the file, a node of the graph and a place in this
/// code. Source: the authors' model/unet.py, <c>UNetModel</c>.
/// </summary>
/// <remarks>N is the number of trajectories, R of rows (factor evaluations), S the image size, E the embedding width.</remarks>
/// <param name="config">Architecture of the network.</param>
/// <param name="weights">Where its tensors come from.</param>
/// <param name="dropout">What residual blocks drop, in training.</param>
public sealed class UNet(UNetConfig config, IWeights weights, BlockDropout? dropout = null)
{
    private uint dropped;

    /// <summary>Timesteps, which may be fractional, to embeddings: t [M] gives [M, E / 2].</summary>
    public Value TimeEmbedding(Graph g, Value t)
    {
        using IDisposable scope = g.Scope("time_embed");
        Value h = g.TimestepEmbedding(t, config.Channels);
        (Value weight, Value? bias) = weights.Linear(g, "time_embed.0", config.Channels, config.LatentDim);
        h = g.Silu(g.Linear(h, weight, bias, "0"), "1");
        (weight, bias) = weights.Linear(g, "time_embed.2", config.LatentDim, config.LatentDim);
        return g.Linear(h, weight, bias, "2");
    }

    /// <summary>The prediction of each trajectory: the weighted mean over its rows.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="x">Noisy images [N, S, S, C].</param>
    /// <param name="timeEmbedding">[R, E / 2].</param>
    /// <param name="latents">Each row's factor [R, E / 2]; zeros for the null latent.</param>
    /// <param name="groups">Which rows belong to which trajectory, and their weights.</param>
    /// <param name="bias">Whether to add the last convolution's bias; off where several models' predictions are added.</param>
    /// <returns>[N, S, S, C]. The last convolution is linear, so it runs after the mean, once for each trajectory.</returns>
    public Value Predict(Graph g, Value x, Value timeEmbedding, Value latents, RowGroups groups, bool bias = true)
    {
        Value embedding = g.Silu(g.Concat(latents, timeEmbedding, "emb"), "emb.silu"); // [R, E]
        var skips = new Stack<Value>();

        Value h = g.RepeatRows(x, groups, "repeat"); // [R, S, S, C]
        h = Conv(g, h, "input_blocks.0.0", config.Widths[0]);
        skips.Push(h);
        int block = 1;
        for (int level = 0; level < config.ChannelMult.Count; level++)
        {
            int width = config.Widths[level];
            for (int i = 0; i < config.NumResBlocks; i++, block++)
            {
                h = ResBlock(g, h, embedding, $"input_blocks.{block}.0", width);
                if (config.HasAttention(level)) h = AttentionBlock(g, h, $"input_blocks.{block}.1");
                skips.Push(h);
            }
            if (level == config.ChannelMult.Count - 1) continue;
            h = config.ResBlockUpDown // [R, S / 2, S / 2, ..]
                ? ResBlock(g, h, embedding, $"input_blocks.{block}.0", width, Resample.Down)
                : Conv(g, h, $"input_blocks.{block}.0.op", width, stride: 2);
            skips.Push(h);
            block++;
        }

        h = ResBlock(g, h, embedding, "middle_block.0", config.Widths[^1]);
        h = AttentionBlock(g, h, "middle_block.1");
        h = ResBlock(g, h, embedding, "middle_block.2", config.Widths[^1]);

        block = 0;
        for (int level = config.ChannelMult.Count - 1; level >= 0; level--)
        {
            int width = config.Widths[level];
            for (int i = 0; i <= config.NumResBlocks; i++, block++)
            {
                string name = $"output_blocks.{block}";
                h = g.Concat(h, skips.Pop(), name + ".cat");
                h = ResBlock(g, h, embedding, name + ".0", width);
                int module = 1;
                if (config.HasAttention(level)) h = AttentionBlock(g, h, $"{name}.{module++}");
                if (level == 0 || i < config.NumResBlocks) continue;
                h = config.ResBlockUpDown // [R, 2 S, 2 S, ..]
                    ? ResBlock(g, h, embedding, $"{name}.{module}", width, Resample.Up)
                    : Conv(g, g.UpsampleNearest(h, $"{name}.{module}.up"), $"{name}.{module}.conv", width);
            }
        }

        h = Norm(g, h, "out.0", Activation.Silu); // [R, S, S, ch]
        h = g.SumRows(h, groups, "mean"); // [N, S, S, ch]
        (Value weight, Value? outBias) = LastConv(g);
        return g.Conv2d(h, weight, bias ? outBias : null, padding: 1, name: "out.2");
    }

    /// <summary>The last convolution's bias [C], for callers that add it themselves.</summary>
    public Value OutputBias(Graph g) => LastConv(g).Bias!;

    private enum Resample
    {
        None,
        Up,
        Down,
    }

    private Value ResBlock(Graph g, Value x, Value embedding, string name, int width, Resample resample = Resample.None)
    {
        Value h = Norm(g, x, name + ".in_layers.0", Activation.Silu);
        if (resample == Resample.Up) (h, x) = (g.UpsampleNearest(h, name + ".h_upd"), g.UpsampleNearest(x, name + ".x_upd"));
        if (resample == Resample.Down) (h, x) = (g.AvgPool2d(h, name + ".h_upd"), g.AvgPool2d(x, name + ".x_upd"));
        h = Conv(g, h, name + ".in_layers.2", width);
        // [R, width], or [R, 2 width] to scale and shift.
        (Value weight, Value? bias) = weights.Linear(
            g, name + ".emb_layers.1", config.EmbDim, config.UseScaleShiftNorm ? 2 * width : width);
        Value e = g.Linear(embedding, weight, bias, name + ".emb_layers.1");
        if (config.UseScaleShiftNorm) h = Norm(g, h, name + ".out_layers.0", Activation.Silu, e);
        else h = Norm(g, g.AddEmbedding(h, e, name + ".add_emb"), name + ".out_layers.0", Activation.Silu);
        // Each block draws from a stream of its own.
        if (dropout is not null)
        {
            h = g.Dropout(h, dropout.Step, dropout.Rate, dropout.Seed, dropout.Stream + dropped++,
                dropout.FirstRow * (h.Shape.Count / h.Shape[0]), name + ".out_layers.2");
        }
        h = Conv(g, h, name + ".out_layers.3", width);
        return g.Add(x.Shape[^1] == width ? x : Conv(g, x, name + ".skip_connection", width, kernel: 1), h, name + ".add");
    }

    private Value AttentionBlock(Graph g, Value x, string name)
    {
        int width = x.Shape[^1];
        Value h = Norm(g, x, name + ".norm", Activation.None);
        (Value weight, Value? bias) = weights.Conv1d(g, name + ".qkv", width, 3 * width);
        h = g.Conv2d(h, weight, bias, name: name + ".qkv"); // [R, H, W, 3 width]
        h = g.Attention(h, config.HeadsAt(width), name + ".attention");
        (weight, bias) = weights.Conv1d(g, name + ".proj_out", width, width);
        return g.Add(x, g.Conv2d(h, weight, bias, name: name + ".proj_out"), name + ".add");
    }

    private Value Norm(Graph g, Value x, string name, Activation activation, Value? film = null)
    {
        (Value gamma, Value beta) = weights.Norm(g, name, x.Shape[^1]);
        return g.GroupNorm(x, gamma, beta, UNetConfig.NormGroups, activation, film, name: name);
    }

    private Value Conv(Graph g, Value x, string name, int outputs, int kernel = 3, int stride = 1)
    {
        (Value weight, Value? bias) = weights.Conv(g, name, x.Shape[^1], outputs, kernel);
        return g.Conv2d(x, weight, bias, stride, kernel / 2, name);
    }

    private (Value Weight, Value? Bias) LastConv(Graph g) => weights.Conv(g, "out.2", config.Widths[0], config.ImageChannels, kernel: 3);
}

/// <summary>Dropout before the last convolution of each residual block, as the authors have it.</summary>
/// <param name="Rate">Share that is dropped.</param>
/// <param name="Seed">Of what is drawn.</param>
/// <param name="Stream">First of the streams, one for each block.</param>
/// <param name="Step">Steps done [1].</param>
/// <param name="FirstRow">Place of the network's first row among those of all processes and parts of a batch.</param>
public sealed record BlockDropout(float Rate, uint Seed, uint Stream, Value Step, long FirstRow);
