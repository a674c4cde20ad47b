using System.Globalization;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>Part of each picture of a set, in pixels: what of [X, X + Width) x [Y, Y + Height) is inside the picture.</summary>
/// <param name="X">First column.</param>
/// <param name="Y">First row.</param>
/// <param name="Width">Columns; 0 for all up to the edge.</param>
/// <param name="Height">Rows; 0 for all up to the edge.</param>
public sealed record ImageCrop(int X, int Y, int Width, int Height)
{
    /// <summary>Reads <c>X,Y,WIDTH,HEIGHT</c>.</summary>
    /// <param name="text">Four natural numbers.</param>
    /// <exception cref="FormatException">It is not that.</exception>
    public static ImageCrop Parse(string text)
    {
        string[] parts = text.Split(',');
        int[] numbers = new int[4];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (parts.Length != numbers.Length || !int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]))
                throw new FormatException($"X,Y,WIDTH,HEIGHT in pixels, such as 433,0,375,0, found '{text}'");
        }
        return new ImageCrop(numbers[0], numbers[1], numbers[2], numbers[3]);
    }

    /// <summary>As <see cref="Parse"/> reads it.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{X},{Y},{Width},{Height}");

    /// <summary>Whether all of it is inside a picture.</summary>
    public bool FitsIn(Image image) =>
        X < image.Width && Y < image.Height && Width <= image.Width - X && Height <= image.Height - Y;

    /// <summary>That part of a picture.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="name">What the error calls it.</param>
    /// <exception cref="FileFormatException">Nothing of it is inside.</exception>
    public Image Of(Image image, string name)
    {
        int width = Math.Min(Width == 0 ? int.MaxValue : Width, image.Width - X), height = Math.Min(
            Height == 0 ? int.MaxValue : Height, image.Height - Y);
        if (width <= 0 || height <= 0 || X < 0 || Y < 0)
        {
            throw new FileFormatException(
                $"{name}: the crop {this} has nothing of a picture of {image.Width} x {image.Height} pixels");
        }

        return image.Crop(X, Y, width, height);
    }
}
