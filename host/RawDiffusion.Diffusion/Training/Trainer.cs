using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>What a step found.</summary>
/// <param name="Step">Steps done, this one included.</param>
/// <param name="Loss">Mean over the step's images.</param>
/// <param name="GradientNorm">Norm of all gradients, before clipping.</param>
/// <param name="LearningRate">Rate of the step.</param>
public readonly record struct StepResult(long Step, float Loss, float GradientNorm, double LearningRate);

/// <summary>
/// A network in training: the compiled step and its state. Everything that is drawn is a function of the seed and the step, so
/// that a run that starts from a saved state continues as if it had not stopped. Not thread-safe.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly TrainingOptions options;
    private readonly TrainingGraph training;
    private readonly GaussianDiffusion diffusion;
    private readonly IExecutable executable;

    /// <summary>Compiles the step; parameters are zero until <see cref="Start"/> or <see cref="Restore"/>.</summary>
    /// <param name="device">Device to train on.</param>
    /// <param name="config">The network.</param>
    /// <param name="diffusion">The diffusion process, not respaced.</param>
    /// <param name="options">What to compute.</param>
    /// <param name="compile">How to compile it.</param>
    public Trainer(IDevice device, UNetConfig config, GaussianDiffusion diffusion, TrainingOptions options, CompileOptions? compile = null)
    {
        (this.options, this.diffusion, Config) = (options, diffusion, config);
        training = new TrainingGraph(config, options);
        executable = device.Compile(training.Graph, compile);
    }

    /// <summary>The network.</summary>
    public UNetConfig Config { get; }

    /// <summary>Steps done.</summary>
    public long Step { get; private set; }

    /// <summary>Bytes of the executable.</summary>
    public long MemoryBytes => executable.MemoryBytes;

    /// <summary>The compiled step, to profile it.</summary>
    public IExecutable Executable => executable;

    /// <summary>Begins at step 0 with the parameters and running statistics of a checkpoint.</summary>
    /// <exception cref="KeyNotFoundException">The checkpoint lacks a tensor.</exception>
    public void Start(TensorFile checkpoint)
    {
        float[] row = training.Weights.Read(checkpoint);
        var state = new float[Adam.Rows * row.Length];
        row.CopyTo(state, Adam.Parameters * row.Length);
        row.CopyTo(state, Adam.Average * row.Length);
        Restore(new TrainingState(0, state, training.Weights.Statistics.ToDictionary(s => s.Name, s => checkpoint[s.Name].ToSingles())));
    }

    /// <summary>Goes on from a saved state.</summary>
    /// <exception cref="GraphException">The state is another network's.</exception>
    public void Restore(TrainingState state)
    {
        executable.Write(TrainableWeights.StateName, state.Parameters);
        foreach ((string name, float[] values) in state.Statistics) executable.Write(name, values);
        Step = state.Step;
        executable.Write("step", (int[])[checked((int)Step)]);
    }

    /// <summary>Copies the state out.</summary>
    public TrainingState Save()
    {
        var parameters = new float[Adam.Rows * training.Weights.Layout.Count];
        executable.Read(TrainableWeights.StateName, parameters);
        return new TrainingState(Step, parameters, training.Weights.Statistics.ToDictionary(s => s.Name, s =>
        {
            var values = new float[s.Count];
            executable.Read(s.Name, values);
            return values;
        }));
    }

    /// <summary>A state's tensors as a checkpoint of the network.</summary>
    /// <param name="state">A state of this trainer.</param>
    /// <param name="average">Whether to take the moving average of the parameters instead of the parameters.</param>
    public IReadOnlyList<KeyValuePair<string, Tensor>> Tensors(TrainingState state, bool average)
    {
        int count = training.Weights.Layout.Shape[0];
        float[] row = state.Parameters.AsSpan((average ? Adam.Average : Adam.Parameters) * count, count).ToArray();
        return training.Weights.Tensors(row, state.Statistics, state.Step * (options.LatentOrthogonality ? 2 : 1) * options.Accumulate);
    }

    /// <summary>Does one step.</summary>
    /// <param name="images">[B, S, S, C], values as the model sees them.</param>
    /// <param name="cancellation">Stops between two kernels; the state is then lost.</param>
    public StepResult Run(ReadOnlySpan<float> images, CancellationToken cancellation = default)
    {
        double rate = options.RateAt(Step);
        executable.Write("x_start", images);
        executable.Write("rates", [(float)rate, (float)MovingAverage.ShareAt(Step, options.EmaRate)]);
        WriteTimesteps();
        executable.Run(cancellation);
        Span<float> loss = stackalloc float[1], norm = stackalloc float[1];
        executable.Read("loss", loss);
        executable.Read("gradient_norm", norm);
        return new StepResult(++Step, loss[0], norm[0], rate);
    }

    /// <inheritdoc/>
    public void Dispose() => executable.Dispose();

    // Uniform timesteps, and what depends on them.
    private void WriteTimesteps()
    {
        int batch = options.BatchSize;
        float[] t = new float[batch], signal = new float[batch], sigma = new float[batch], weights = new float[batch], keep = new float[batch];
        for (int i = 0; i < batch; i++)
        {
            int timestep = (int)(Uniform(i, TrainingGraph.TimestepStream) * diffusion.Timesteps);
            t[i] = timestep;
            signal[i] = (float)diffusion.SqrtAlphasCumprod[timestep];
            sigma[i] = (float)diffusion.SqrtOneMinusAlphasCumprod[timestep];
            weights[i] = options.Downweight ? (float)(2 - Math.Exp(Math.Log(2) / diffusion.Timesteps * timestep)) : 1;
            keep[i] = Uniform(i, TrainingGraph.KeepStream) >= options.UnconditionalProbability ? 1 : 0;
        }
        executable.Write("t", t);
        executable.Write("signal", signal);
        executable.Write("sigma", sigma);
        executable.Write("weights", weights);
        if (options.UnconditionalProbability > 0) executable.Write("keep", keep);
    }

    // In [0, 1), a function of seed, step and image: its place in the batch of all processes.
    private double Uniform(int image, uint stream) =>
        Philox.Block((uint)(options.Rank * options.BatchSize + image), 0, (uint)Step, 0, options.Seed, stream).Item1 / 4294967296.0;
}

/// <summary>All that a run needs to go on.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Parameters">The state [4, P] of <see cref="TrainableWeights"/>.</param>
/// <param name="Statistics">Running statistics by name.</param>
public sealed record TrainingState(long Step, float[] Parameters, IReadOnlyDictionary<string, float[]> Statistics);
