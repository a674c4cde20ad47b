using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Inputs;

/// <summary>An image as a model sees it.</summary>
/// <param name="Path">The file that it came from.</param>
/// <param name="Stem">What outputs are named after.</param>
/// <param name="Planes">[C, S, S].</param>
internal sealed record InputImage(string Path, string Stem, float[] Planes)
{
    // Fewer pixels hold nothing to decompose: such a file is a mistake.
    private const int SmallestSide = 8;

    /// <summary>
    /// Reads images: picture files, resized to the model's size as the authors do, and safetensors files whose tensor
    /// <c>image</c> [B, C, S, S] is taken as it is.
    /// </summary>
    /// <param name="paths">The files.</param>
    /// <param name="crop">Part of each picture to take first, or null.</param>
    /// <param name="orientation">What to do with pictures that a camera has turned.</param>
    /// <param name="config">The model that will see them.</param>
    /// <param name="cancellation">Stops between two files.</param>
    /// <exception cref="CommandException">A file is missing or does not fit the model.</exception>
    /// <exception cref="FileFormatException">A file is no image.</exception>
    public static List<InputImage> Read(IReadOnlyList<string> paths, ImageCrop? crop, ImageOrientation orientation, UNetConfig config,
        CancellationToken cancellation)
    {
        List<InputImage> images = [];
        foreach (string path in paths)
        {
            cancellation.ThrowIfCancellationRequested();
            InputFile.Require(path, "an image");
            if (System.IO.Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase))
                images.AddRange(FromTensor(path, config));
            else images.Add(FromPicture(path, crop, orientation, config));
        }
        return images;
    }

    private static InputImage FromPicture(string path, ImageCrop? crop, ImageOrientation orientation, UNetConfig config)
    {
        if (config.ImageChannels != 3)
        {
            throw new CommandException($"{path}: the model's images have {config.ImageChannels} channels, a picture has 3; give a "
                + "safetensors file with a tensor 'image'");
        }

        Image image = ImageFile.Read(path, orientation);
        if (Math.Min(image.Width, image.Height) < SmallestSide)
        {
            throw new CommandException(
                $"{path}: expected an image of at least {SmallestSide} x {SmallestSide} pixels, found {image.Width} x {image.Height}");
        }

        // Of one picture all is meant that was asked for; pictures of a set may differ in size.
        if (crop is not null && !crop.FitsIn(image))
            throw new CommandException($"{path}: --crop {crop} does not fit the picture of {image.Width} x {image.Height} pixels");
        if (crop is not null) image = crop.Of(image, path);
        return new InputImage(path, InputFile.Stem(path), ImageConvert.ToChw(image, config.ImageSize));
    }

    private static IEnumerable<InputImage> FromTensor(string path, UNetConfig config)
    {
        (IReadOnlyList<int> shape, float[] values) = TensorInput.Read(path, "image");
        int length = config.ImageChannels * config.ImageSize * config.ImageSize;
        if (shape.Count != 4 || shape[0] < 1 || !shape.Skip(1).SequenceEqual([config.ImageChannels, config.ImageSize, config.ImageSize]))
        {
            throw new CommandException(
                $"{path}: expected a tensor 'image' of shape [B, {config.ImageChannels}, {config.ImageSize}, {config.ImageSize}], as the "
                    + "model has it, " +
                $"found [{string.Join(", ", shape)}]");
        }
        string stem = System.IO.Path.GetFileNameWithoutExtension(path);
        return Enumerable.Range(0, shape[0])
            .Select(b => new InputImage(path, shape[0] == 1 ? stem : $"{stem}_{b}", values[(b * length)..((b + 1) * length)]));
    }
}

/// <summary>A tensor of a safetensors file that is an input, not a weight.</summary>
internal static class TensorInput
{
    /// <summary>Shape and values of a tensor of finite floating-point numbers.</summary>
    /// <exception cref="CommandException">The tensor is missing, of integers, or holds a NaN or an infinity.</exception>
    public static (IReadOnlyList<int> Shape, float[] Values) Read(string path, string name)
    {
        using TensorFile file = SafeTensors.Open(path);
        if (!file.TryGet(name, out Tensor? tensor))
        {
            throw new CommandException($"{path}: expected a tensor '{name}', found "
                + $"{(file.Names.Count == 0 ? "no tensors" : string.Join(", ", file.Names.Take(5)))}");
        }
        // Bytes from 0 to 255 are what models never see: better refused than decomposed.
        if (tensor.Type is not (TensorType.Float16 or TensorType.BFloat16 or TensorType.Float32 or TensorType.Float64))
        {
            throw new CommandException(
                $"{path}: expected floating-point numbers in '{name}', as the model sees them, found the type {tensor.Type}");
        }

        float[] values = tensor.ToSingles();
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        if (bad >= 0) throw new CommandException($"{path}: expected finite numbers in '{name}', found {values[bad]} at element {bad}");
        return (tensor.Shape, values);
    }
}
