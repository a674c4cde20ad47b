using System.Globalization;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Inputs;

/// <summary>Part of a picture, in pixels. A width or height of 0 reaches to the edge.</summary>
internal sealed record CropBox(int X, int Y, int Width, int Height)
{
    /// <summary>Reads <c>X,Y,WIDTH,HEIGHT</c>.</summary>
    /// <exception cref="UsageException">It is not that.</exception>
    public static CropBox Parse(string text)
    {
        var numbers = new List<int>();
        foreach (string part in text.Split(','))
        {
            if (int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number)) numbers.Add(number);
        }
        return numbers.Count == 4 && text.Count(c => c == ',') == 3
            ? new CropBox(numbers[0], numbers[1], numbers[2], numbers[3])
            : throw new UsageException($"--crop takes X,Y,WIDTH,HEIGHT in pixels, such as 433,0,375,0, found '{text}'");
    }

    /// <summary>That part of a picture.</summary>
    /// <exception cref="CommandException">It reaches outside.</exception>
    public Image Of(Image image, string path)
    {
        (int width, int height) = (Width == 0 ? image.Width - X : Width, Height == 0 ? image.Height - Y : Height);
        if (width <= 0 || height <= 0 || width > image.Width - X || height > image.Height - Y)
        {
            throw new CommandException(
                $"{path}: --crop {X},{Y},{Width},{Height} does not fit the picture of {image.Width} x {image.Height} pixels");
        }

        return image.Crop(X, Y, width, height);
    }
}
