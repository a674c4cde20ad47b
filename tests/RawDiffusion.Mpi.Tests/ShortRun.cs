using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Mpi.Tests;

/// <summary>A few steps of training of golden configuration A, alone or in one of several processes.</summary>
internal sealed record ShortRun(float[] Losses, float[] Norms, TensorFile Saved, long Step)
{
    /// <summary>All that the run has learned: parameters and what belongs to them, running statistics.</summary>
    public float[] State => [
        .. Saved.Names.Order(StringComparer.Ordinal).Where(n => Saved[n].Type == TensorType.Float32).SelectMany(n => Saved[n].ToSingles())];

    /// <summary>
    /// Adam divides gradients by their size, and some are zero in theory: with PyTorch's epsilon their rounding errors would move
    /// parameters as far as others' gradients do.
    /// </summary>
    public static TrainingOptions Options { get; } = new()
    {
        LearningRate = 1e-2,
        EmaRate = 0.5,
        Adam = new AdamOptions { Epsilon = 1e-3, MaxNorm = 1 },
        Seed = 7
    };

    /// <summary>Trains.</summary>
    /// <param name="ranks">The processes; null for one.</param>
    /// <param name="batch">Images of each.</param>
    /// <param name="steps">Steps.</param>
    /// <param name="options">What to compute, but for batch and processes.</param>
    /// <param name="from">Where to go on; the beginning where null.</param>
    /// <param name="stepDone">Called after each step.</param>
    public static ShortRun Of(ICommunicator? ranks, int batch, int steps, TrainingOptions? options = null, ShortRun? from = null,
        Action? stepDone = null)
    {
        using TensorFile file = Checkpoint.Open(Goldens.PathOf("A.pt"), WeightSelection.Auto);
        UNetConfig config = ArchitectureInference.Infer(file, new ArchitectureOverrides(NumHeadChannels: 16));
        using var device = new CpuDevice(1, ranks: ranks);
        options = (options ?? Options) with { BatchSize = batch, Rank = ranks?.Rank ?? 0, World = ranks?.Size ?? 1 };
        using var trainer = new Trainer(device, config, new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)), options);
        if (from is null) trainer.Start(file);
        else trainer.Restore(from.Saved, from.Step);
        var results = new List<StepResult>();
        int length = config.ImageSize * config.ImageSize * config.ImageChannels;
        for (int i = 0; i < steps; i++)
        {
            // An image is a function of step and place in the batch of all.
            float[] images = [.. Enumerable.Range(options.Rank * batch, batch)
                .SelectMany(place => Program.Numbers(1000 * (int)trainer.Step + place, length))];
            results.Add(trainer.Run(images));
            stepDone?.Invoke();
        }
        return new ShortRun([.. results.Select(r => r.Loss)], [.. results.Select(r => r.GradientNorm)],
            new TensorFile([.. trainer.State().Select(t => KeyValuePair.Create(
            t.Key, t.Value.Type == TensorType.Float32 ? Tensor.FromSingles(t.Value.Shape, t.Value.ToSingles()) : t.Value))]), trainer.Step);
    }
}
