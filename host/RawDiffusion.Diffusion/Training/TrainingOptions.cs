using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Training;

/// <summary>How the learning rate changes after its warm-up.</summary>
public enum RateDecay
{
    /// <summary>It stays.</summary>
    None,
    /// <summary>Half a cosine down to zero at the last step.</summary>
    Cosine,
    /// <summary>Straight down to zero at the last step.</summary>
    Linear,
}

/// <summary>What a training step computes, and with which constants. Defaults are the authors', unless said otherwise.</summary>
public sealed record TrainingOptions
{
    /// <summary>Images of a step, on one process.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Parts into which a step's images are split to save memory: their gradients add up.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>Number of this process among those that train together.</summary>
    public int Rank { get; init; }

    /// <summary>
    /// Processes that train together, each with <see cref="BatchSize"/> images of a step: as one process with a batch of all.
    /// With <see cref="Accumulate"/> batch norm looks at a part of each process's images at a time.
    /// </summary>
    public int World { get; init; } = 1;

    /// <summary>Steps of the whole run: where the learning rate's decay ends.</summary>
    public int Steps { get; init; } = 100_000;

    /// <summary>Learning rate after the warm-up.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Steps over which the rate rises from zero.</summary>
    public int Warmup { get; init; }

    /// <summary>What the rate does after the warm-up.</summary>
    public RateDecay Decay { get; init; }

    /// <summary>Constants of the optimizer.</summary>
    public AdamOptions Adam { get; init; } = new();

    /// <summary>Largest decay of the parameters' moving average; it starts lower (<see cref="MovingAverage"/>).</summary>
    public double EmaRate { get; init; } = 0.9999;

    /// <summary>What the network predicts.</summary>
    public Prediction Predicts { get; init; } = Prediction.XStart;

    /// <summary>Whether later timesteps count less: 2 - 2^(t / T).</summary>
    public bool Downweight { get; init; }

    /// <summary>Whether alike latents of an image's factors are punished.</summary>
    public bool LatentOrthogonality { get; init; }

    /// <summary>Share of images whose latents are replaced by zeros, for guidance.</summary>
    public double UnconditionalProbability { get; init; }

    /// <summary>
    /// Share of activations that each residual block drops before its last convolution. The authors' scripts drop 0.1, their network by
    /// itself 0.
    /// </summary>
    public double Dropout { get; init; }

    /// <summary>
    /// Whether gradients are those of the loss times a number that <see cref="Engine.Operators.LossScale"/> keeps as large as they allow:
    /// for float16. A step whose gradients overflow is skipped.
    /// </summary>
    public bool LossScaling { get; init; }

    /// <summary>Seed of everything that is drawn.</summary>
    public uint Seed { get; init; }

    /// <summary>The learning rate of a step.</summary>
    /// <param name="step">Steps done before it.</param>
    public double RateAt(long step)
    {
        if (step < Warmup) return LearningRate * (step + 1) / Warmup;
        double done = Math.Clamp((double)(step - Warmup) / Math.Max(1, Steps - Warmup), 0, 1);
        return LearningRate * Decay switch
        {
            RateDecay.Cosine => 0.5 * (1 + Math.Cos(Math.PI * done)),
            RateDecay.Linear => 1 - done,
            RateDecay.None => 1,
            _ => throw new ArgumentOutOfRangeException(nameof(step), Decay, "there is no such decay of the learning rate"),
        };
    }
}
