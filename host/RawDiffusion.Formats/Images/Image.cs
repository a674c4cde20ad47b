using System.Runtime.InteropServices;

namespace RawDiffusion.Formats.Images;

/// <summary>A decoded image: unsigned samples of 8 or 16 bits, rows from the top, channels interleaved.</summary>
public sealed class Image
{
    /// <summary>
    /// The most samples (width x height x channels) an image may have; a reader refuses more before it allocates.
    /// </summary>
    public const int MaxSamples = 1 << 28;

    /// <summary>The largest width and height.</summary>
    public const int MaxSide = 1 << 20;

    /// <summary>Makes an image over samples in memory.</summary>
    /// <param name="width">Pixels in a row.</param>
    /// <param name="height">Rows.</param>
    /// <param name="channels">1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.</param>
    /// <param name="bitDepth">Bits of a sample: 8 or 16.</param>
    /// <param name="samples">height x width x channels samples; those of 16 bits are little-endian.</param>
    /// <exception cref="ArgumentException">A number is out of range, or the array's length does not match.</exception>
    public Image(int width, int height, int channels, int bitDepth, byte[] samples)
    {
        if (!Fits(width, height, channels))
            throw new ArgumentException($"an image of {width} x {height} pixels with {channels} channels is not supported");
        if (bitDepth is not (8 or 16)) throw new ArgumentException($"an image's samples have 8 or 16 bits, not {bitDepth}");
        if (samples.Length != width * height * channels * (bitDepth / 8))
        {
            throw new ArgumentException(
                $"an image of {width} x {height} pixels with {channels} channels of {bitDepth} bits does not have {samples.Length} bytes");
        }

        Width = width;
        Height = height;
        Channels = channels;
        BitDepth = bitDepth;
        Samples = samples;
    }

    /// <summary>Pixels in a row.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.</summary>
    public int Channels { get; }

    /// <summary>Bits of a sample: 8 or 16.</summary>
    public int BitDepth { get; }

    /// <summary>height x width x channels samples; those of 16 bits are little-endian.</summary>
    public byte[] Samples { get; }

    /// <summary>Part of the image, as a copy: the pixels [y, y + height) x [x, x + width).</summary>
    /// <exception cref="ArgumentException">The rectangle is empty or reaches outside the image.</exception>
    public Image Crop(int x, int y, int width, int height)
    {
        if (x < 0 || y < 0 || width <= 0 || height <= 0 || x > Width - width || y > Height - height)
        {
            throw new ArgumentException(
                $"the rectangle {width} x {height} at ({x}, {y}) is not inside the image of {Width} x {Height} pixels");
        }

        int pixel = Channels * (BitDepth / 8);
        byte[] samples = new byte[width * height * pixel];
        for (int row = 0; row < height; row++)
            Samples.AsSpan(((y + row) * Width + x) * pixel, width * pixel).CopyTo(samples.AsSpan(row * width * pixel));
        return new Image(width, height, Channels, BitDepth, samples);
    }

    /// <summary>The picture that a camera held at an angle meant, as a copy where it is not the stored one.</summary>
    /// <param name="orientation">EXIF's number: where the stored first row and column belong. 1, and what EXIF does not know, is
    /// upright.</param>
    internal Image Upright(int orientation)
    {
        if (orientation is < 2 or > 8) return this;
        bool transposed = orientation >= 5;
        (int width, int height) = transposed ? (Height, Width) : (Width, Height);
        int pixel = Channels * (BitDepth / 8);
        byte[] samples = new byte[Samples.Length];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                (int column, int row) = transposed ? (y, x) : (x, y);
                if (orientation is 2 or 3 or 7 or 8) column = Width - 1 - column;
                if (orientation is 3 or 4 or 6 or 7) row = Height - 1 - row;
                Samples.AsSpan((row * Width + column) * pixel, pixel).CopyTo(samples.AsSpan((y * width + x) * pixel));
            }
        }
        return new Image(width, height, Channels, BitDepth, samples);
    }

    /// <summary>Whether sizes are positive and within <see cref="MaxSide"/> and <see cref="MaxSamples"/>.</summary>
    internal static bool Fits(long width, long height, int channels) =>
        width is > 0 and <= MaxSide && height is > 0 and <= MaxSide && channels is >= 1 and <= 4 && width * height * channels <= MaxSamples;

    /// <summary>
    /// One row as red, green, blue in [0, 1] (sample / 255 or / 65535); gray becomes three equal values, alpha is left out.
    /// </summary>
    internal void ReadRowRgb(int y, Span<double> rgb)
    {
        int start = y * Width * Channels;
        int green = Channels >= 3 ? 1 : 0, blue = 2 * green;
        if (BitDepth == 8)
        {
            ReadOnlySpan<byte> row = Samples.AsSpan(start, Width * Channels);
            for (int x = 0, p = 0; x < Width; x++, p += Channels)
            {
                rgb[3 * x] = row[p] / 255.0;
                rgb[3 * x + 1] = row[p + green] / 255.0;
                rgb[3 * x + 2] = row[p + blue] / 255.0;
            }
        }
        else
        {
            ReadOnlySpan<ushort> row = MemoryMarshal.Cast<byte, ushort>(Samples).Slice(start, Width * Channels);
            for (int x = 0, p = 0; x < Width; x++, p += Channels)
            {
                rgb[3 * x] = row[p] / 65535.0;
                rgb[3 * x + 1] = row[p + green] / 65535.0;
                rgb[3 * x + 2] = row[p + blue] / 65535.0;
            }
        }
    }
}
