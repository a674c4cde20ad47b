using System.Buffers.Binary;

namespace RawDiffusion.Formats.Images;

/// <summary>The IHDR chunk of a PNG file, checked, and the sizes that follow from it.</summary>
internal sealed record PngHeader(int Width, int Height, int BitDepth, int ColourType, bool Interlaced)
{
    private const int Gray = 0, Rgb = 2, Palette = 3, GrayAlpha = 4, RgbAlpha = 6;

    /// <summary>Whether samples are indices of a palette.</summary>
    public bool IsPalette => ColourType == Palette;

    /// <summary>The chunk's data.</summary>
    public byte[] Bytes
    {
        get
        {
            byte[] data = [0, 0, 0, 0, 0, 0, 0, 0, (byte)BitDepth, (byte)ColourType, 0, 0, Interlaced ? (byte)1 : (byte)0];
            BinaryPrimitives.WriteInt32BigEndian(data, Width);
            BinaryPrimitives.WriteInt32BigEndian(data.AsSpan(4), Height);
            return data;
        }
    }

    /// <summary>Channels and bits of the decoded picture.</summary>
    /// <param name="transparent">Whether there is a tRNS chunk.</param>
    public (int Channels, int Bits) Layout(bool transparent) =>
        (IsPalette ? (transparent ? 4 : 3) : SamplesPerPixel, BitDepth == 16 ? 16 : 8);

    private int SamplesPerPixel => ColourType switch { Rgb => 3, GrayAlpha => 2, RgbAlpha => 4, _ => 1 };

    public static PngHeader Read(FileContent file, ReadOnlySpan<byte> data)
    {
        if (data.Length != 13) throw file.Error($"a PNG header has 13 bytes, not {data.Length}");
        uint width = BinaryPrimitives.ReadUInt32BigEndian(data), height = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        int depth = data[8], colour = data[9];
        bool known = (colour, depth) is (Gray, 1 or 2 or 4 or 8 or 16) or (Palette, 1 or 2 or 4 or 8) or (
            Rgb or GrayAlpha or RgbAlpha, 8 or 16);
        if (!known)
            throw file.Error($"the PNG header names colour type {colour} with {depth} bits, which does not exist; the file is damaged");
        if (data[10] != 0 || data[11] != 0 || data[12] > 1)
            throw file.Error("the PNG header names a compression, filter or interlacing that does not exist");
        PictureLibrary.CheckSize(file, width, height, 1);
        return new PngHeader((int)width, (int)height, depth, colour, data[12] == 1);
    }

    /// <summary>All bytes that the compressed data must expand to: each row of each pass, and a filter byte before it.</summary>
    public long PixelBytes() => Passes().Sum(p => (1 + ((long)p.Width * SamplesPerPixel * BitDepth + 7) / 8) * p.Height);

    /// <summary>The sub-images that follow each other in the data: one, or the seven of Adam7, without empty ones.</summary>
    public IEnumerable<PngPass> Passes()
    {
        if (!Interlaced) return [new PngPass(0, 0, 1, 1, Width, Height)];
        (int X, int Y, int StepX, int StepY)[] adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
            (0, 1, 1, 2)];
        return adam7
            .Select(p => new PngPass(
            p.X, p.Y, p.StepX, p.StepY, (Width - p.X + p.StepX - 1) / p.StepX, (Height - p.Y + p.StepY - 1) / p.StepY))
            .Where(p => p.Width > 0 && p.Height > 0);
    }
}

/// <summary>Part of an image: every StepX-th pixel from X of every StepY-th row from Y, Width x Height in all.</summary>
internal readonly record struct PngPass(int X, int Y, int StepX, int StepY, int Width, int Height)
{
    /// <summary>Puts the part's pixels into their places.</summary>
    public void CopyTo(Image part, Image whole)
    {
        int pixel = part.Channels * (part.BitDepth / 8);
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                int to = (Y + y * StepY) * whole.Width + X + x * StepX;
                part.Samples.AsSpan((y * Width + x) * pixel, pixel).CopyTo(whole.Samples.AsSpan(to * pixel));
            }
        }
    }
}
