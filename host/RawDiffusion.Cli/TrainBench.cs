using RawDiffusion.Cuda;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli;

/// <summary>A training step to be measured: random weights, as their values cost no time, and one batch of random images.</summary>
internal sealed class TrainBench : IStepBench
{
    private readonly Trainer trainer;
    private readonly float[] images;
    private readonly int batch;

    /// <summary>Compiles the step.</summary>
    /// <param name="device">Device to measure.</param>
    /// <param name="config">Architecture of the network.</param>
    /// <param name="batch">Images of a step.</param>
    /// <param name="seed">Of weights and images.</param>
    /// <param name="recompute"><see cref="CompileOptions.Recompute"/>.</param>
    public TrainBench(IDevice device, UNetConfig config, int batch, uint seed, bool recompute = false)
    {
        this.batch = batch;
        trainer = new Trainer(device, config, new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)),
            new TrainingOptions { BatchSize = batch, Seed = seed, LossScaling = device is CudaDevice { Precision: Precision.Fp16 } },
            new CompileOptions { Recompute = recompute });
        trainer.Start(RandomWeights.Of(DecompTensors.Of(config), seed));
        images = new float[batch * config.ImageSize * config.ImageSize * config.ImageChannels];
        var random = new Random((int)seed);
        foreach (ref float value in images.AsSpan()) value = random.NextSingle();
    }

    /// <inheritdoc/>
    public Cost Cost => trainer.StepCost;

    /// <inheritdoc/>
    public long MemoryBytes => trainer.MemoryBytes;

    /// <inheritdoc/>
    public IExecutable Executable => trainer.Executable;

    /// <inheritdoc/>
    public void Prepare()
    {
    }

    /// <inheritdoc/>
    public void Step(CancellationToken cancellation) => trainer.Run(images, cancellation);

    /// <inheritdoc/>
    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation) => trainer.Profile(images, cancellation);

    /// <summary>Seconds that steps wait for images of a set while threads load the next ones.</summary>
    /// <param name="set">Images to take batches from.</param>
    /// <param name="steps">How many steps, after the first, which has to wait.</param>
    /// <param name="cancellation">Stops.</param>
    /// <returns>The mean over steps.</returns>
    public double WaitOf(ImageSet set, int steps, CancellationToken cancellation)
    {
        using var loader = new ImageLoader(set, new LoaderOptions(batch));
        double first = 0;
        for (int i = 0; i <= steps; i++)
        {
            loader.Next(images, cancellation);
            if (i == 0) first = loader.WaitedSeconds;
            trainer.Run(images, cancellation);
        }
        return (loader.WaitedSeconds - first) / steps;
    }

    /// <inheritdoc/>
    public void Dispose() => trainer.Dispose();
}
