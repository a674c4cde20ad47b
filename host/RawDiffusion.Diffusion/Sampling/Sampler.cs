using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>
/// A sampling step of a set of trajectories as one compiled graph: all factor evaluations in one batched U-Net pass for
/// each model, then the update. The step's constants stand in tables that a counter in the graph's state indexes, so the
/// same executable runs every step.
/// </summary>
public sealed class Sampler : IDisposable
{
    /// <summary>Philox stream of the noise that steps add; initial noise has another.</summary>
    public const uint StepStream = 1;

    /// <summary>Philox stream of x_T.</summary>
    public const uint InitialStream = 0;

    private readonly IExecutable executable;
    private readonly IReadOnlyList<DecompModel> models;
    private readonly int steps;
    private readonly long count;
    private readonly bool externalNoise;

    /// <summary>Builds and compiles the step.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="models">Models that rows refer to; all of one image size.</param>
    /// <param name="trajectories">Images to sample, in order.</param>
    /// <param name="table">The steps.</param>
    /// <param name="options">Clipping, seed, where noise comes from.</param>
    /// <exception cref="ArgumentException">Image sizes or channels of the models differ.</exception>
    public Sampler(IDevice device, IReadOnlyList<DecompModel> models, IReadOnlyList<Trajectory> trajectories, StepTable table,
        SamplerOptions? options = null)
    {
        options ??= new SamplerOptions();
        this.models = models;
        steps = table.Count;
        externalNoise = options.ExternalNoise && table.AddsNoise;
        Graph g = Build(models, trajectories, table, options);
        StepCost = g.Cost;
        count = g.Inputs["x"].Shape.Count;
        executable = device.Compile(g, options.Compile);
        WriteLatents(trajectories);
    }

    /// <summary>Arithmetic of one step as the graph states it, before sharing and fusion.</summary>
    public Cost StepCost { get; }

    /// <summary>Bytes that the executable takes.</summary>
    public long MemoryBytes => executable.MemoryBytes;

    /// <summary>The compiled step, which the sampler owns.</summary>
    public IExecutable Executable => executable;

    /// <summary>Runs all steps.</summary>
    /// <param name="x">Initial noise [N, S, S, C]; for inversion the images.</param>
    /// <param name="stepDone">Called after each step with the number of steps done.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>The images [N, S, S, C].</returns>
    public float[] Run(ReadOnlySpan<float> x, Action<int>? stepDone = null, CancellationToken cancellation = default)
    {
        Start(x);
        for (int step = 0; step < steps; step++)
        {
            executable.Run(cancellation);
            stepDone?.Invoke(step + 1);
        }
        return Current();
    }

    /// <summary>Sets the images and the step counter.</summary>
    /// <param name="x">[N, S, S, C].</param>
    /// <param name="firstStep">Step to begin with, where a chain is entered in the middle.</param>
    public void Start(ReadOnlySpan<float> x, int firstStep = 0)
    {
        executable.Write("x", x);
        executable.Write("step", [firstStep]);
    }

    /// <summary>With <see cref="SamplerOptions.ExternalNoise"/>: the noise [N, S, S, C] of the next step.</summary>
    public void WriteNoise(ReadOnlySpan<float> noise)
    {
        if (externalNoise) executable.Write("noise", noise);
    }

    /// <summary>Runs one step.</summary>
    public void Step(CancellationToken cancellation = default) => executable.Run(cancellation);

    /// <summary>Waits until the steps that were started are done.</summary>
    public void Synchronize() => executable.Synchronize();

    /// <summary>Runs one step and times its kernels.</summary>
    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation = default) => executable.Profile(cancellation);

    /// <summary>The images as they are now, [N, S, S, C].</summary>
    public float[] Current()
    {
        float[] x = new float[count];
        executable.Read("x", x);
        return x;
    }

    /// <inheritdoc/>
    public void Dispose() => executable.Dispose();

    private static Graph Build(IReadOnlyList<DecompModel> models, IReadOnlyList<Trajectory> trajectories, StepTable table,
        SamplerOptions options)
    {
        (int size, int channels) = (models[0].Config.ImageSize, models[0].Config.ImageChannels);
        foreach (DecompModel model in models)
        {
            if (model.Config.ImageSize != size || model.Config.ImageChannels != channels)
            {
                throw new ArgumentException(
                    $"models that are combined must have one image size: {size} and {model.Config.ImageSize} differ");
            }
        }
        var g = new Graph();
        Value x = g.State("x", [trajectories.Count, size, size, channels]);
        Value step = g.State("step", [1], DType.I32);
        Value timesteps = g.Constant("timesteps", [table.Count], table.ModelTimesteps.ToArray());
        Value coefficients = g.Constant("coefficients", [table.Count, StepTable.Columns], table.Coefficients.ToArray());

        Value prediction = Predict(g, models, trajectories, x, timesteps, step);
        Value? noise = !table.AddsNoise ? null
            : options.ExternalNoise ? g.Input("noise", x.Shape)
            : g.RepeatRows(g.RandomNormal(x.Shape.WithRows(1), step, options.Seed, StepStream),
            new RowGroups([trajectories.Count], new float[trajectories.Count]));
        g.Assign(x, g.DenoiseStep(prediction, x, coefficients, step, noise, options.Clip));
        g.Assign(step, g.NextStep(step));
        return g;
    }

    /// <summary>Appends the models' combined prediction [N, S, S, C] for each trajectory.</summary>
    /// <param name="g">Graph to append to; it gets an input <c>latents0</c>, <c>latents1</c>, .. for each model in use.</param>
    /// <param name="models">Models that rows refer to.</param>
    /// <param name="trajectories">What to predict.</param>
    /// <param name="x">Noisy images [N, S, S, C].</param>
    /// <param name="timesteps">Table of timesteps [S].</param>
    /// <param name="step">Row of the table in use; null where the table has one row.</param>
    internal static Value Predict(Graph g, IReadOnlyList<DecompModel> models, IReadOnlyList<Trajectory> trajectories, Value x,
        Value timesteps, Value? step)
    {
        int[] used = [.. Enumerable.Range(0, models.Count).Where(m => trajectories.Any(t => t.Rows.Any(r => r.Model == m)))];
        Value? prediction = null;
        foreach (int m in used)
        {
            using IDisposable? scope = used.Length > 1 ? g.Scope($"model{m + 1}") : null;
            RowGroups groups = GroupsOf(trajectories, m);
            Value latents = g.Input($"latents{m}", [groups.Rows, models[m].Config.LatentDim]);
            // All steps' embeddings: of constants only, so a device computes this table once.
            Value time = models[m].UNet.TimeEmbedding(g, timesteps); // [S, E / 2]
            time = step is not null ? g.TableRow(time, step, groups.Rows) // [R, E / 2]
                : g.RepeatRows(time, new RowGroups([groups.Rows], new float[groups.Rows]));
            Value own = models[m].UNet.Predict(g, x, time, latents, groups, bias: used.Length == 1);
            prediction = prediction is null ? own : g.Add(prediction, own);
        }
        return used.Length == 1 ? prediction! : g.AddEmbedding(prediction!, Biases(g, models, trajectories, used), "biases");
    }

    private static RowGroups GroupsOf(IReadOnlyList<Trajectory> trajectories, int model) => new(
        [.. trajectories.Select(t => t.Rows.Count(r => r.Model == model))],
        [.. trajectories.SelectMany(t => t.Rows).Where(r => r.Model == model).Select(r => r.Weight)]);

    // Where several models predict parts of one image, each part's bias counts with that part's weight: [N, C].
    private static Value Biases(Graph g, IReadOnlyList<DecompModel> models, IReadOnlyList<Trajectory> trajectories, int[] used)
    {
        int channels = models[0].Config.ImageChannels;
        Value[] biases = [.. used.Select(m => models[m].UNet.OutputBias(g))];
        return g.Constant("biases", [trajectories.Count, channels], destination =>
        {
            destination.Clear();
            float[] bias = new float[channels];
            for (int i = 0; i < used.Length; i++)
            {
                biases[i].Constant!(bias);
                for (int n = 0; n < trajectories.Count; n++)
                {
                    float weight = trajectories[n].Rows.Where(r => r.Model == used[i]).Sum(r => r.Weight);
                    for (int c = 0; c < channels; c++) destination[n * channels + c] += weight * bias[c];
                }
            }
        });
    }

    /// <summary>Gives the rows new latents: other images, same trajectories otherwise.</summary>
    public void WriteLatents(IReadOnlyList<Trajectory> trajectories) => WriteLatents(executable, models, trajectories);

    /// <summary>Writes the inputs that <see cref="Predict"/> declared.</summary>
    internal static void WriteLatents(IExecutable executable, IReadOnlyList<DecompModel> models, IReadOnlyList<Trajectory> trajectories)
    {
        for (int m = 0; m < models.Count; m++)
        {
            FactorRow[] rows = [.. trajectories.SelectMany(t => t.Rows).Where(r => r.Model == m)];
            if (rows.Length == 0) continue;
            int width = models[m].Config.LatentDim;
            float[] latents = new float[rows.Length * width];
            for (int r = 0; r < rows.Length; r++) rows[r].Latent.Span.CopyTo(latents.AsSpan(r * width, width));
            executable.Write($"latents{m}", latents);
        }
    }
}

/// <summary>How a sampler treats x0 and noise.</summary>
public sealed record SamplerOptions
{
    /// <summary>Whether predictions of x0 are clipped to [-1, 1].</summary>
    public bool Clip { get; init; } = true;

    /// <summary>Seed of the noise that steps add.</summary>
    public uint Seed { get; init; }

    /// <summary>Whether the caller brings the noise that steps add.</summary>
    public bool ExternalNoise { get; init; }

    /// <summary>Switches of the compiler.</summary>
    public CompileOptions? Compile { get; init; }
}
