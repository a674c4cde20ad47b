using RawDiffusion.Cli.Inputs;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli;

/// <summary>A step to be measured.</summary>
internal interface IStepBench : IDisposable
{
    /// <summary>Arithmetic of one step.</summary>
    Cost Cost { get; }

    /// <summary>Bytes that the executable takes.</summary>
    long MemoryBytes { get; }

    /// <summary>The compiled step.</summary>
    IExecutable Executable { get; }

    /// <summary>What comes before a step and is not part of what is measured.</summary>
    void Prepare();

    /// <summary>Runs a step and waits for its end.</summary>
    void Step(CancellationToken cancellation);

    /// <summary>Runs a step and times its kernels.</summary>
    IReadOnlyList<KernelTime> Profile(CancellationToken cancellation);
}

/// <summary>A sampling step to be measured: the published 50-step DDIM chain, started again when it ends.</summary>
internal sealed class StepBench : IStepBench
{
    private const int Steps = 50;

    private readonly Sampler sampler;
    private readonly float[] noise;
    private int step;

    /// <summary>Compiles the step.</summary>
    /// <param name="device">Device to measure.</param>
    /// <param name="model">The network.</param>
    /// <param name="batch">Images at once.</param>
    /// <param name="withFactors">Whether each image's factors are sampled beside its composition, as <c>decompose</c> does.</param>
    /// <param name="seed">Of the noise.</param>
    public StepBench(IDevice device, DecompModel model, int batch, bool withFactors, uint seed)
    {
        GaussianDiffusion process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, Steps));
        var ddim = new Ddim(process);
        var options = new SamplerOptions { Seed = seed };
        var decomposer = new Decomposer(device, model, ddim, options);
        float[] latents = new float[batch * model.Config.NumComponents * model.Config.LatentDim];
        Philox.Normal(latents, 0, 1, seed, 0);
        Composition[] compositions = [.. Enumerable.Range(0, batch).SelectMany(image => withFactors
            ? decomposer.Compositions(latents, image)
            : decomposer.Compositions(latents, image).TakeLast(1))];
        var initial = InitialNoise.Draw(model.Config, seed);
        noise = [.. Enumerable.Range(0, compositions.Length).SelectMany(n => initial.Of(n, 0).ToArray())];
        sampler = new Sampler(device, [model.Denoiser], compositions, ddim, options);
        Restart();
    }

    /// <inheritdoc/>
    public Cost Cost => sampler.StepCost;

    /// <inheritdoc/>
    public long MemoryBytes => sampler.MemoryBytes;

    /// <inheritdoc/>
    public IExecutable Executable => sampler.Executable;

    /// <summary>Goes back to the start of the chain if it is at its end.</summary>
    public void Prepare()
    {
        if (step == Steps) Restart();
        step++;
    }

    /// <inheritdoc/>
    public void Step(CancellationToken cancellation)
    {
        sampler.Step(cancellation);
        sampler.Synchronize();
    }

    /// <inheritdoc/>
    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation) => sampler.Profile(cancellation);

    /// <inheritdoc/>
    public void Dispose() => sampler.Dispose();

    private void Restart()
    {
        sampler.Start(noise);
        step = 0;
    }
}
