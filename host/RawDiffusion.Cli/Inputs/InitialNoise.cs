using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;

namespace RawDiffusion.Cli.Inputs;

/// <summary>The x_T of every trajectory, NHWC.</summary>
internal sealed class InitialNoise
{
    private readonly Func<int, int, ReadOnlyMemory<float>> of;

    private InitialNoise(Func<int, int, ReadOnlyMemory<float>> of) => this.of = of;

    /// <summary>Draws it from a seed: each image has its own, which its trajectories share.</summary>
    /// <param name="config">The model's architecture.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="firstIndex">Index of image 0 among all images of the seed.</param>
    public static InitialNoise Draw(UNetConfig config, uint seed, int firstIndex = 0)
    {
        int length = config.ImageSize * config.ImageSize * config.ImageChannels;
        return new InitialNoise((image, _) => ImageNoise.Initial(length, seed, (long)firstIndex + image));
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
        (IReadOnlyList<int> shape, float[] planes) = TensorInput.Read(path, "noise");
        int[] counts = [.. new[] { 1, images, images * trajectories }.Distinct()];
        if (shape.Count != 4 || !counts.Contains(shape[0])
            || !shape.Skip(1).SequenceEqual([config.ImageChannels, config.ImageSize, config.ImageSize]))
        {
            throw new CommandException(
                $"{path}: expected a tensor 'noise' of shape [N, {config.ImageChannels}, {config.ImageSize}, {config.ImageSize}] with N = "
                    + $"{string.Join(" or ", counts)}, " +
                $"found [{string.Join(", ", shape)}]");
        }
        int pixels = config.ImageSize * config.ImageSize, length = pixels * config.ImageChannels;
        float[] values = Layout.ToNhwc(planes, config.ImageChannels, pixels);
        (int imageStride, int trajectoryStride) = shape[0] == 1 ? (0, 0) : shape[0] == images ? (1, 0) : (trajectories, 1);
        return new InitialNoise(
            (image, trajectory) => values.AsMemory((image * imageStride + trajectory * trajectoryStride) * length, length));
    }

    /// <summary>The noise of one trajectory of one image.</summary>
    public ReadOnlyMemory<float> Of(int image, int trajectory) => of(image, trajectory);
}
