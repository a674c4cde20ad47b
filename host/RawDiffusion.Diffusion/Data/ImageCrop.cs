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
                $"{name}: the crop {X},{Y},{Width},{Height} has nothing of a picture of {image.Width} x {image.Height} pixels");
        }

        return image.Crop(X, Y, width, height);
    }
}
