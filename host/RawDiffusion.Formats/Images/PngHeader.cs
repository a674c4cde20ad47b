using System.Buffers.Binary;

namespace RawDiffusion.Formats.Images;

/// <summary>The IHDR chunk of a PNG file, checked, and the sizes that follow from it.</summary>
internal sealed record PngHeader(int Width, int Height, int BitDepth, int ColourType, bool Interlaced)
{
    public const int Gray = 0, Rgb = 2, Palette = 3, GrayAlpha = 4, RgbAlpha = 6;

    public int SamplesPerPixel => ColourType switch { Rgb => 3, GrayAlpha => 2, RgbAlpha => 4, _ => 1 };

    public int BitsPerPixel => SamplesPerPixel * BitDepth;

    public static PngHeader Read(FileContent file, ReadOnlySpan<byte> data)
    {
        if (data.Length != 13) throw file.Error($"a PNG header has 13 bytes, not {data.Length}");
        uint width = BinaryPrimitives.ReadUInt32BigEndian(data), height = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        int depth = data[8], colour = data[9];
        bool known = (colour, depth) is (Gray, 1 or 2 or 4 or 8 or 16) or (Palette, 1 or 2 or 4 or 8) or (Rgb or GrayAlpha or RgbAlpha, 8 or 16);
        if (!known) throw file.Error($"the PNG header names colour type {colour} with {depth} bits, which does not exist; the file is damaged");
        if (data[10] != 0 || data[11] != 0 || data[12] > 1) throw file.Error("the PNG header names a compression, filter or interlacing that does not exist");
        if (!Image.Fits(width, height, 1))
            throw file.Error($"the PNG image has {width} x {height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples are read");
        return new PngHeader((int)width, (int)height, depth, colour, data[12] == 1);
    }

    /// <summary>Bytes of a row of so many pixels, without the filter byte before it.</summary>
    public int RowBytes(int pixels) => (int)(((long)pixels * BitsPerPixel + 7) / 8);

    /// <summary>All bytes that the compressed data must expand to.</summary>
    public long FilteredBytes() => Passes().Sum(p => (1L + RowBytes(p.Width)) * p.Height);

    /// <summary>The sub-images that follow each other in the data: one, or the seven of Adam7, without empty ones.</summary>
    public IEnumerable<PngPass> Passes()
    {
        if (!Interlaced) return [new PngPass(0, 0, 1, 1, Width, Height)];
        (int X, int Y, int StepX, int StepY)[] adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
        return adam7
            .Select(p => new PngPass(p.X, p.Y, p.StepX, p.StepY, (Width - p.X + p.StepX - 1) / p.StepX, (Height - p.Y + p.StepY - 1) / p.StepY))
            .Where(p => p.Width > 0 && p.Height > 0);
    }
}

/// <summary>Part of an image: every StepX-th pixel from X of every StepY-th row from Y, Width x Height in all.</summary>
internal readonly record struct PngPass(int X, int Y, int StepX, int StepY, int Width, int Height);
