using RawDiffusion.Diffusion.Checkpoints;
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
        }
        catch
        {
            file.Dispose();
            throw;
        }
        Weights = new ModelWeights(file);
        UNet = new UNet(Config, Weights);
        Encoder = new LatentEncoder(Weights);
    }

    /// <summary>The architecture.</summary>
    public UNetConfig Config { get; }

    /// <summary>The tensors as constants for graphs.</summary>
    public ModelWeights Weights { get; }

    /// <summary>The denoising network.</summary>
    public UNet UNet { get; }

    /// <summary>The latent encoder.</summary>
    public LatentEncoder Encoder { get; }

    /// <summary>What was done to find the weights in the file.</summary>
    public IReadOnlyList<string> Notes => file.Notes;

    /// <summary>Free text that the file carries.</summary>
    public IReadOnlyDictionary<string, string> Metadata => file.Metadata;

    /// <summary>Latents of images.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="images">[B, S, S, C], values as the model sees them.</param>
    /// <param name="count">B.</param>
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
        var result = new float[latents.Shape.Count];
        executable.Read("latents", result);
        return result;
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();
}
