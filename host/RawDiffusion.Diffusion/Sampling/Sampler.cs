using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>
/// A sampling step of some images as one compiled graph: what their compositions predict (<see cref="ComposedPrediction"/>), then how x
/// moves (<see cref="Transition"/>). The step's constants stand in tables that a counter in the graph's state indexes, so the same
/// executable runs every step.
/// </summary>
public sealed class Sampler : IDisposable
{
    private readonly IExecutable executable;
    private readonly ComposedPrediction prediction;
    private readonly IReadOnlyDictionary<string, Value> inputs;
    private readonly int steps;

    /// <summary>Builds and compiles the step.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="models">Networks that rows refer to; all of one image size.</param>
    /// <param name="compositions">Images to sample, in order.</param>
    /// <param name="transition">The steps.</param>
    /// <param name="options">Clipping, seed, where noise comes from.</param>
    /// <exception cref="ArgumentException">The networks cannot be combined, or a condition is none of its network.</exception>
    public Sampler(IDevice device, IReadOnlyList<IDenoiser> models, IReadOnlyList<Composition> compositions, Transition transition,
        SamplerOptions? options = null)
    {
        options ??= new SamplerOptions();
        prediction = new ComposedPrediction(models, compositions, options.Predicts);
        steps = transition.Count;
        Graph g = Build(prediction, transition, options);
        StepCost = g.Cost;
        inputs = g.Inputs;
        executable = device.Compile(g, options.Compile);
        try
        {
            Write(compositions);
        }
        catch
        {
            executable.Dispose();
            throw;
        }
    }

    /// <summary>Arithmetic of one step as the graph states it, before sharing and fusion.</summary>
    public Cost StepCost { get; }

    /// <summary>Bytes that the executable takes.</summary>
    public long MemoryBytes => executable.MemoryBytes;

    /// <summary>The compiled step, which the sampler owns.</summary>
    public IExecutable Executable => executable;

    /// <summary>Runs all steps.</summary>
    /// <param name="x">Initial noise [N, H, W, C]; for inversion the images.</param>
    /// <param name="firstImage">Index of the first image among all of the seed, for the noise that steps add.</param>
    /// <param name="stepDone">Called after each step with the number of steps done.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>The images [N, H, W, C].</returns>
    public float[] Run(ReadOnlySpan<float> x, int firstImage = 0, Action<int>? stepDone = null, CancellationToken cancellation = default)
    {
        Start(x, firstImage);
        for (int step = 0; step < steps; step++)
        {
            executable.Run(cancellation);
            stepDone?.Invoke(step + 1);
        }
        return Current();
    }

    /// <summary>Sets the images and the step counter.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="firstImage">Index of the first image among all of the seed, for the noise that steps add.</param>
    /// <param name="firstStep">Step to begin with, where a chain is entered in the middle.</param>
    public void Start(ReadOnlySpan<float> x, int firstImage = 0, int firstStep = 0)
    {
        executable.Write("x", x);
        executable.Write("step", [firstStep]);
        if (inputs.ContainsKey("first_image")) executable.Write("first_image", [firstImage]);
    }

    /// <summary>Asks for other images: the same rows and weights under other conditions.</summary>
    /// <param name="compositions">As many as there are images.</param>
    /// <exception cref="ArgumentException">Rows or weights are others, or a condition is none of its network.</exception>
    public void Write(IReadOnlyList<Composition> compositions) => prediction.Write(executable, compositions);

    /// <summary>With <see cref="SamplerOptions.ExternalNoise"/>: the noise [N, H, W, C] of the next step.</summary>
    public void WriteNoise(ReadOnlySpan<float> noise)
    {
        if (inputs.ContainsKey("noise")) executable.Write("noise", noise);
    }

    /// <summary>Runs one step.</summary>
    public void Step(CancellationToken cancellation = default) => executable.Run(cancellation);

    /// <summary>Waits until the steps that were started are done.</summary>
    public void Synchronize() => executable.Synchronize();

    /// <summary>Runs one step and times its kernels.</summary>
    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation = default) => executable.Profile(cancellation);

    /// <summary>The images as they are now, [N, H, W, C].</summary>
    public float[] Current()
    {
        float[] x = new float[prediction.Images.Count];
        executable.Read("x", x);
        return x;
    }

    /// <inheritdoc/>
    public void Dispose() => executable.Dispose();

    private static Graph Build(ComposedPrediction prediction, Transition transition, SamplerOptions options)
    {
        var g = new Graph();
        Value x = g.State("x", prediction.Images);
        Value step = g.State("step", [1], DType.I32);
        Value timesteps = g.Constant("timesteps", [transition.Count], [.. transition.ModelTimesteps]);
        Value output = prediction.Append(g, x, Timesteps.OfStep(timesteps, step));
        Value next = transition.Append(g, new TransitionInputs(x, DenoiserOutput.Mean(g, output, x.Shape[^1]), prediction.Predicts, step,
            options.Clip, () => Noise(g, x.Shape, step, options)));
        g.Assign(x, next);
        g.Assign(step, g.NextStep(step));
        return g;
    }

    private static Value Noise(Graph g, Shape x, Value step, SamplerOptions options)
    {
        if (options.ExternalNoise) return g.Input("noise", x);
        int sharing = options.CompositionsOfImage, images = x[0] / sharing;
        if (images * sharing != x[0])
            throw new ArgumentException($"expected {sharing} compositions of each image, found {x[0]}, which is no multiple");
        Value noise = ImageNoise.OfStep(g, x.WithRows(images), step, options.Seed, g.Input("first_image", [1], DType.I32));
        return sharing == 1 ? noise
            : g.RepeatRows(noise, new RowGroups([.. Enumerable.Repeat(sharing, images)], new float[x[0]]));
    }
}

/// <summary>How a sampler treats x0 and noise.</summary>
public sealed record SamplerOptions
{
    /// <summary>Whether predictions of x0 are clipped to [-1, 1].</summary>
    public bool Clip { get; init; } = true;

    /// <summary>What the networks predict, if not what they say themselves.</summary>
    public Prediction? Predicts { get; init; }

    /// <summary>Seed of the noise that steps add.</summary>
    public uint Seed { get; init; }

    /// <summary>How many compositions that follow each other are of one image, and share its noise.</summary>
    public int CompositionsOfImage { get; init; } = 1;

    /// <summary>Whether the caller brings the noise that steps add.</summary>
    public bool ExternalNoise { get; init; }

    /// <summary>Switches of the compiler.</summary>
    public CompileOptions? Compile { get; init; }
}
