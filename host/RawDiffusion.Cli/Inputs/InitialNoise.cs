using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Inputs;

/// <summary>
/// The x_T of every trajectory, NHWC. Drawn from the seed it is one for all images and trajectories, so that an image's
/// result does not depend on which others are in the call.
/// </summary>
internal sealed class InitialNoise
{
    private readonly float[] values;
    private readonly int length;
    private readonly int imageStride;
    private readonly int trajectoryStride;

    // Strides in images: the noise of trajectory t of image b is number b * imageStride + t * trajectoryStride.
    private InitialNoise(float[] values, int length, int imageStride, int trajectoryStride)
    {
        this.values = values;
        this.length = length;
        this.imageStride = imageStride;
        this.trajectoryStride = trajectoryStride;
    }

    /// <summary>Draws it.</summary>
    public static InitialNoise Draw(UNetConfig config, uint seed)
    {
        float[] values = new float[config.ImageSize * config.ImageSize * config.ImageChannels];
        Philox.Normal(values, 0, 0, seed, Sampler.InitialStream);
        return new InitialNoise(values, values.Length, imageStride: 0, trajectoryStride: 0);
    }

    /// <summary>Reads the tensor <c>noise</c>: one for all, one for each image, or one for each trajectory of each image.</summary>
    /// <param name="path">A safetensors file.</param>
    /// <param name="config">The model's architecture.</param>
    /// <param name="images">B.</param>
    /// <param name="trajectories">Of one image.</param>
    /// <exception cref="CommandException">The tensor is missing or has another shape.</exception>
    public static InitialNoise Read(string path, UNetConfig config, int images, int trajectories)
    {
        InputFile.Require(path, "initial noise");
        (IReadOnlyList<int> shape, float[] values) = TensorInput.Read(path, "noise");
        int[] counts = [.. new[] { 1, images, images * trajectories }.Distinct()];
        if (shape.Count != 4 || !counts.Contains(shape[0])
            || !shape.Skip(1).SequenceEqual([config.ImageChannels, config.ImageSize, config.ImageSize]))
        {
            throw new CommandException(
                $"{path}: expected a tensor 'noise' of shape [N, {config.ImageChannels}, {config.ImageSize}, {config.ImageSize}] with N = "
                    + $"{string.Join(" or ", counts)}, " +
                $"found [{string.Join(", ", shape)}]");
        }
        int pixels = config.ImageSize * config.ImageSize;
        (int imageStride, int trajectoryStride) = shape[0] == 1 ? (0, 0) : shape[0] == images ? (1, 0) : (trajectories, 1);
        return new InitialNoise(Layout.ToNhwc(values, config.ImageChannels, pixels), pixels * config.ImageChannels, imageStride,
            trajectoryStride);
    }

    /// <summary>The noise of one trajectory of one image.</summary>
    public ReadOnlyMemory<float> Of(int image, int trajectory) =>
        values.AsMemory((image * imageStride + trajectory * trajectoryStride) * length, length);
}
