using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Models;

/// <summary>A checkpoint that was recognised as a Decomp Diffusion network, whole: nothing is half-loaded.</summary>
public sealed class DecompModel : IDisposable
{
    private readonly TensorFile file;

    /// <summary>Recognises a checkpoint's tensors.</summary>
    /// <param name="file">Open file; the model owns it from now on.</param>
    /// <param name="overrides">What shapes cannot tell.</param>
    /// <exception cref="CheckpointException">Not such a network: lists missing, unexpected and mis-shaped tensors.</exception>
    public DecompModel(TensorFile file, ArchitectureOverrides? overrides = null)
    {
        this.file = file;
        try
        {
            Config = ArchitectureInference.Infer(file, overrides);
            Weights = new CheckpointWeights(file);
            Denoiser = new DecompDenoiser(Config, Weights, PredictionOf(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
        Encoder = new LatentEncoder(Config, Weights);
    }

    /// <summary>
    /// Opens a file of PyTorch's or a safetensors file. What shapes cannot tell is what the file says, or as in the published models.
    /// </summary>
    /// <param name="path">Path of the file.</param>
    /// <exception cref="CheckpointException">Not such a network: lists missing, unexpected and mis-shaped tensors.</exception>
    /// <exception cref="FileFormatException">The file has another format, or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DecompModel Open(string path)
    {
        TensorFile file = Checkpoint.Open(path);
        return new DecompModel(file, ModelMetadata.Overrides(file.Metadata));
    }

    /// <summary>The architecture.</summary>
    public UNetConfig Config { get; }

    /// <summary>The tensors as constants for graphs.</summary>
    public CheckpointWeights Weights { get; }

    /// <summary>The denoising network.</summary>
    public DecompDenoiser Denoiser { get; }

    /// <summary>The latent encoder.</summary>
    public LatentEncoder Encoder { get; }

    /// <summary>What was done to find the weights in the file.</summary>
    public IReadOnlyList<string> Notes => file.Notes;

    /// <summary>Free text that the file carries.</summary>
    public IReadOnlyDictionary<string, string> Metadata => file.Metadata;

    /// <summary>Latents of images.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="images">[B, S, S, C], values as the model sees them.</param>
    /// <param name="count">B, images.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>[B, K * E / 2].</returns>
    public float[] Encode(IDevice device, ReadOnlySpan<float> images, int count, CancellationToken cancellation = default)
    {
        var g = new Graph();
        Value x = g.Input("x", [count, Config.ImageSize, Config.ImageSize, Config.ImageChannels]);
        Value latents = Encoder.Encode(g, x);
        g.Output("latents", latents);
        using IExecutable executable = device.Compile(g, new CompileOptions { RunsOnce = true });
        executable.Write("x", images);
        executable.Run(cancellation);
        float[] result = new float[latents.Shape.Count];
        executable.Read("latents", result);
        return result;
    }

    /// <summary>DDIM's steps from noise to image, for the process that the model was trained on.</summary>
    /// <param name="count">How many; a divisor of the steps of training, which were 1000 for the published models.</param>
    /// <exception cref="ArgumentException">It is no such number.</exception>
    public Transition Steps(int count)
    {
        int timesteps = ModelMetadata.DiffusionStepsOf(Metadata);
        var process = new GaussianDiffusion(BetaSchedule.Named(ModelMetadata.ScheduleOf(Metadata), timesteps));
        return new Ddim(process.Respace(TimestepSpacing.Every(timesteps, count)));
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private static Prediction PredictionOf(TensorFile file)
    {
        try
        {
            return Predictions.Named(ModelMetadata.PredictOf(file.Metadata));
        }
        catch (ArgumentException e)
        {
            throw new CheckpointException($"the file's {ModelMetadata.Predict}: {e.Message}");
        }
    }
}
