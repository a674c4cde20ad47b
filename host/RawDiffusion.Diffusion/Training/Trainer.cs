using System.Runtime.InteropServices;
using RawDiffusion.Diffusion.Models;
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
/// <param name="LowerScale">The loss scale after a step that was skipped, as its gradients overflowed; null for one that was done.</param>
public readonly record struct StepResult(long Step, float Loss, float GradientNorm, double LearningRate, float? LowerScale = null);

/// <summary>
/// A network in training: the compiled step and its state. Everything that is drawn is a function of the seed and the step, so
/// that a run that starts from a saved state continues as if it had not stopped. Not thread-safe.
/// </summary>
public sealed class Trainer : IDisposable
{
    // The names of the ema_pytorch package, whose files every reader of checkpoints knows; then our own.
    private const string OnlinePrefix = "online_model.", AveragePrefix = "ema_model.", FirstPrefix = "adam.first.", SecondPrefix =
        "adam.second.";

    // Numbers of the state that are in memory a second time while it is shared.
    private const int SharedAtOnce = 1 << 20;

    private readonly TrainingOptions options;
    private readonly TrainingGraph training;
    private readonly GaussianDiffusion diffusion;
    private readonly IExecutable executable;

    /// <summary>Compiles the step; parameters are zero until <see cref="Start"/> or <see cref="Restore"/>.</summary>
    /// <param name="device">Device to train on.</param>
    /// <param name="config">Architecture of the network.</param>
    /// <param name="diffusion">The diffusion process, not respaced.</param>
    /// <param name="options">What to compute.</param>
    /// <param name="compile">How to compile it.</param>
    public Trainer(IDevice device, UNetConfig config, GaussianDiffusion diffusion, TrainingOptions options, CompileOptions? compile = null)
    {
        (this.options, this.diffusion, Config) = (options, diffusion, config);
        training = new TrainingGraph(config, options);
        executable = device.Compile(training.Graph, compile);
    }

    /// <summary>Architecture of the network that is trained.</summary>
    public UNetConfig Config { get; }

    /// <summary>Steps done.</summary>
    public long Step { get; private set; }

    /// <summary>Bytes of the executable.</summary>
    public long MemoryBytes => executable.MemoryBytes;

    /// <summary>The compiled step, to profile it.</summary>
    public IExecutable Executable => executable;

    /// <summary>Arithmetic of one step as the graph states it, before sharing and fusion.</summary>
    public Cost StepCost => training.Graph.Cost;

    /// <summary>Elements of the parameters' places, with those between them.</summary>
    private long RowLength => training.Weights.Layout.Count;

    /// <summary>Batches that the batch norms have seen.</summary>
    private long Batches => Step * (options.LatentOrthogonality ? 2 : 1) * options.Accumulate;

    /// <summary>Begins at step 0 with the parameters and running statistics of a checkpoint.</summary>
    /// <exception cref="KeyNotFoundException">The checkpoint lacks a tensor.</exception>
    public void Start(TensorFile checkpoint)
    {
        WriteRow(checkpoint, Adam.Parameters, "");
        WriteRow(checkpoint, Adam.First, null);
        WriteRow(checkpoint, Adam.Second, null);
        WriteRow(checkpoint, Adam.Average, "");
        WriteStatistics(checkpoint, "");
        if (options.LossScaling) executable.Write(TrainingGraph.ScaleName, [LossScale.Initial, 0, 0]);
        SetStep(0);
    }

    /// <summary>Goes on from a saved state.</summary>
    /// <param name="state">The tensors of <see cref="State"/>.</param>
    /// <param name="step">Steps that were done.</param>
    /// <exception cref="KeyNotFoundException">The file lacks a tensor.</exception>
    public void Restore(TensorFile state, long step)
    {
        WriteRow(state, Adam.Parameters, OnlinePrefix);
        WriteRow(state, Adam.First, FirstPrefix);
        WriteRow(state, Adam.Second, SecondPrefix);
        WriteRow(state, Adam.Average, AveragePrefix);
        WriteStatistics(state, OnlinePrefix);
        if (options.LossScaling) executable.Write(TrainingGraph.ScaleName, state[TrainingGraph.ScaleName].ToSingles());
        SetStep(step);
    }

    /// <summary>
    /// All that <see cref="Restore"/> needs, as tensors that are read from the device when they are asked for: the network's by
    /// the names of ema_pytorch's wrapper (<c>online_model.</c>, <c>ema_model.</c>), Adam's means, <c>step</c>, and the loss scale.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, Tensor>> State() =>
    [
        KeyValuePair.Create("step", Tensor.FromInt64s([], [Step])),
        .. Row(Adam.Parameters, OnlinePrefix, buffers: true),
        .. Row(Adam.Average, AveragePrefix, buffers: true),
        .. Row(Adam.First, FirstPrefix, buffers: false),
        .. Row(Adam.Second, SecondPrefix, buffers: false),
        .. LossScales(),
    ];

    /// <summary>The network as a checkpoint, as tensors that are read from the device when they are asked for.</summary>
    /// <param name="average">Whether to take the moving average of the parameters instead of the parameters.</param>
    public IReadOnlyList<KeyValuePair<string, Tensor>> Tensors(bool average) =>
        [.. Row(average ? Adam.Average : Adam.Parameters, "", buffers: true)];

    /// <summary>Gives all processes that train together the state of the first.</summary>
    /// <exception cref="IOException">They can no longer reach each other.</exception>
    public void Share(ICommunicator ranks)
    {
        long[] step = new long[] { Step };
        ranks.Broadcast(MemoryMarshal.AsBytes(step.AsSpan()), 0);
        SetStep(step[0]);
        float[] part = new float[SharedAtOnce];
        for (long first = 0; first < Adam.Rows * RowLength; first += SharedAtOnce)
            ShareState(TrainableWeights.StateName, first, part.AsSpan(0, (int)Math.Min(SharedAtOnce, Adam.Rows * RowLength - first)));
        foreach (NetworkTensor tensor in training.Weights.Statistics) ShareState(tensor.Name, 0, new float[tensor.Count]);
        if (options.LossScaling) ShareState(TrainingGraph.ScaleName, 0, new float[LossScale.Length]);

        void ShareState(string name, long first, Span<float> values)
        {
            if (ranks.Rank == 0) executable.ReadPart(name, first, values);
            ranks.Broadcast(MemoryMarshal.AsBytes(values), 0);
            if (ranks.Rank > 0) executable.WritePart(name, first, values);
        }
    }

    /// <summary>Does one step.</summary>
    /// <param name="images">[B, S, S, C], values as the model sees them.</param>
    /// <param name="cancellation">Stops between two kernels; the state is then lost.</param>
    public StepResult Run(ReadOnlySpan<float> images, CancellationToken cancellation = default)
    {
        double rate = Prepare(images);
        executable.Run(cancellation);
        Span<float> loss = stackalloc float[1], norm = stackalloc float[1];
        executable.Read("loss", loss);
        executable.Read("gradient_norm", norm);
        float? lower = null;
        if (options.LossScaling && !float.IsFinite(norm[0]))
        {
            Span<float> scale = stackalloc float[LossScale.Length];
            executable.Read(TrainingGraph.ScaleName, scale);
            lower = scale[LossScale.Scale];
        }
        return new StepResult(++Step, loss[0], norm[0], rate, lower);
    }

    /// <summary>Does one step and times its kernels.</summary>
    /// <param name="images">As for <see cref="Run"/>.</param>
    /// <param name="cancellation">Stops between two kernels; the state is then lost.</param>
    public IReadOnlyList<KernelTime> Profile(ReadOnlySpan<float> images, CancellationToken cancellation = default)
    {
        Prepare(images);
        IReadOnlyList<KernelTime> times = executable.Profile(cancellation);
        Step++;
        return times;
    }

    /// <inheritdoc/>
    public void Dispose() => executable.Dispose();

    private double Prepare(ReadOnlySpan<float> images)
    {
        double rate = options.RateAt(Step);
        executable.Write("x_start", images);
        executable.Write("rates", [(float)rate, (float)MovingAverage.ShareAt(Step, options.EmaRate)]);
        WriteTimesteps();
        return rate;
    }

    private void SetStep(long step)
    {
        Step = step;
        executable.Write("step", (int[])[checked((int)step)]);
    }

    // One row of the state, parameter by parameter, so that no second copy of it exists; zeros without a prefix.
    private void WriteRow(TensorFile file, int row, string? prefix)
    {
        foreach (NetworkTensor parameter in training.Weights.Parameters)
        {
            float[] values = new float[parameter.Count];
            if (prefix is not null)
            {
                file[prefix + parameter.Name].CopyTo(values);
                parameter.ToEngine(values);
            }
            executable.WritePart(TrainableWeights.StateName, row * RowLength + training.Weights.OffsetOf(parameter), values);
        }
    }

    private void WriteStatistics(TensorFile file, string prefix)
    {
        foreach (NetworkTensor tensor in training.Weights.Statistics)
            executable.Write(tensor.Name, file[prefix + tensor.Name].ToSingles());
    }

    private IEnumerable<KeyValuePair<string, Tensor>> Row(int row, string prefix, bool buffers) =>
        (buffers ? training.Weights.Tensors : training.Weights.Parameters).Select(t => KeyValuePair.Create(prefix + t.Name, t.Kind switch
        {
            TensorKind.Parameter => training.Weights.TensorOf(t, (first, destination) =>
            {
                executable.ReadPart(TrainableWeights.StateName, row * RowLength + first, destination);
                RequireFinite(prefix + t.Name, destination);
            }),
            TensorKind.Statistic => new Tensor(
                TensorType.Float32, t.Shape, bytes => executable.Read(t.Name, MemoryMarshal.Cast<byte, float>(bytes))),
            TensorKind.Counter => Tensor.FromInt64s([], [Batches]),
            _ => throw new InvalidOperationException($"{t.Name} is a {t.Kind}, which no checkpoint holds"),
        }));

    private IEnumerable<KeyValuePair<string, Tensor>> LossScales() => !options.LossScaling ? []
        : [KeyValuePair.Create(TrainingGraph.ScaleName, new Tensor(TensorType.Float32, [LossScale.Length],
        bytes => executable.Read(TrainingGraph.ScaleName, MemoryMarshal.Cast<byte, float>(bytes))))];

    private void RequireFinite(string name, ReadOnlySpan<float> values)
    {
        int bad = values.IndexOfAnyExceptInRange(float.MinValue, float.MaxValue);
        if (bad >= 0) throw new NonFiniteStateException($"{name} holds {values[bad]} after step {Step}");
    }

    // Uniform timesteps, and what depends on them.
    private void WriteTimesteps()
    {
        int batch = options.BatchSize;
        float[] t = new float[batch], signal = new float[batch], sigma = new float[batch], weights = new float[batch], keep =
            new float[batch];
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

/// <summary>A state that must not be saved: it holds a NaN or an infinity.</summary>
/// <param name="message">Where.</param>
public sealed class NonFiniteStateException(string message) : Exception(message);
