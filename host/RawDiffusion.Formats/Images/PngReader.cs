using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// Reads PNG: all colour types and bit depths, interlaced or not, checksums checked. As Python's imread gives them: a
/// palette becomes RGB, or RGBA where it has transparency; 1, 2 and 4 bit gray is scaled to 8; 16 bits stay 16. A
/// transparent colour of gray and RGB images, gamma and colour profiles are left aside.
/// </summary>
/// <remarks>Specification: W3C Portable Network Graphics, third edition.</remarks>
internal sealed class PngReader
{
    /// <summary>Deflate codes at most 258 bytes in 2 bits, so its output is never more than about 1032 times its input.</summary>
    private const int MaxInflation = 1032;

    private static readonly byte[] Signature = [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a];

    private readonly FileContent file;
    private readonly byte[] content;
    private readonly MemoryStream compressed = new();
    private PngHeader? header;
    private byte[]? palette;
    private byte[] paletteAlpha = [];

    private PngReader(FileContent file)
    {
        this.file = file;
        content = file.ReadBytes(0, file.Length, "the PNG file");
    }

    public static bool Matches(ReadOnlySpan<byte> start) => start.StartsWith(Signature);

    public static Image Read(FileContent file)
    {
        var reader = new PngReader(file);
        reader.ReadChunks();
        return reader.Decode();
    }

    private void ReadChunks()
    {
        int position = Signature.Length;
        bool dataEnded = false;
        while (true)
        {
            const int overhead = 12;
            if (content.Length - position < overhead) throw file.Error("the PNG file ends before its IEND chunk; it is truncated, fetch it again");
            uint length = BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position));
            if (length > content.Length - position - overhead)
                throw file.Error($"a PNG chunk of {length} bytes reaches past the end of the file; it is truncated or damaged, fetch it again");
            ReadOnlySpan<byte> typed = content.AsSpan(position + 4, 4 + (int)length);
            string type = Encoding.Latin1.GetString(typed[..4]);
            if (Crc32.Of(typed) != BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position + 8 + (int)length)))
                throw file.Error($"the checksum of the PNG chunk '{type}' is wrong; the file is damaged, fetch it again");

            ReadOnlySpan<byte> data = typed[4..];
            if ((type == "IHDR") != (header is null)) throw file.Error("a PNG file must begin with an IHDR chunk and have no other");
            dataEnded |= type != "IDAT" && compressed.Length > 0;
            if (type == "IEND") return;
            if (type == "IDAT" && dataEnded) throw file.Error("the IDAT chunks of the PNG file are not consecutive; the file is damaged");
            ReadChunk(type, data);
            position += overhead + (int)length;
        }
    }

    private void ReadChunk(string type, ReadOnlySpan<byte> data)
    {
        switch (type)
        {
            case "IHDR":
                header = PngHeader.Read(file, data);
                break;
            case "PLTE":
                if (data.Length == 0 || data.Length % 3 != 0 || data.Length > 3 * 256) throw file.Error($"a PNG palette cannot have {data.Length} bytes");
                palette = data.ToArray();
                break;
            case "tRNS":
                if (header!.ColourType == PngHeader.Palette) paletteAlpha = data.ToArray();
                break;
            case "IDAT":
                compressed.Write(data);
                break;
            default:
                // A capital first letter marks chunks without which the image cannot be shown.
                if (type[0] is >= 'A' and <= 'Z') throw file.Error($"the PNG file needs a chunk '{type}', which is not supported");
                break;
        }
    }

    private Image Decode()
    {
        PngHeader png = header!;
        if (png.ColourType == PngHeader.Palette && palette is null) throw file.Error("the PNG file has no palette (PLTE), but its colours are palette indices");
        if (png.FilteredBytes() > compressed.Length * MaxInflation)
            throw file.Error($"{compressed.Length} bytes of PNG data cannot hold {png.Width} x {png.Height} pixels; the file is truncated or damaged");
        int channels = png.ColourType == PngHeader.Palette ? (paletteAlpha.Length > 0 ? 4 : 3) : png.SamplesPerPixel;
        if (!Image.Fits(png.Width, png.Height, channels))
            throw file.Error($"the PNG image has {png.Width} x {png.Height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples are read");

        int bitDepth = png.BitDepth == 16 ? 16 : 8;
        var samples = new byte[png.Width * png.Height * channels * (bitDepth / 8)];
        compressed.Position = 0;
        try
        {
            using var inflated = new ZLibStream(compressed, CompressionMode.Decompress);
            foreach (PngPass pass in png.Passes()) DecodePass(inflated, pass, channels, samples);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw file.Error("the compressed PNG data is damaged or too short; fetch the file again", e);
        }
        return new Image(png.Width, png.Height, channels, bitDepth, samples);
    }

    private void DecodePass(ZLibStream inflated, PngPass pass, int channels, byte[] samples)
    {
        PngHeader png = header!;
        int pixelBytes = Math.Max(1, png.BitsPerPixel / 8);
        var row = new byte[png.RowBytes(pass.Width)];
        var above = new byte[row.Length];
        for (int y = 0; y < pass.Height; y++)
        {
            int filter = inflated.ReadByte();
            inflated.ReadExactly(row);
            if (filter is < 0 or > 4) throw file.Error($"the PNG row filter {filter} does not exist; the file is damaged");
            PngFilter.Undo(filter, row, above, pixelBytes);
            int line = (pass.Y + y * pass.StepY) * png.Width + pass.X;
            for (int x = 0; x < pass.Width; x++) WritePixel(row, x, samples, (line + x * pass.StepX) * channels, channels);
            (row, above) = (above, row);
        }
    }

    private void WritePixel(byte[] row, int x, byte[] samples, int to, int channels)
    {
        PngHeader png = header!;
        if (png.BitDepth == 16)
        {
            for (int i = 0; i < channels; i++)
            {
                int from = 2 * (x * channels + i);
                samples[2 * (to + i)] = row[from + 1];
                samples[2 * (to + i) + 1] = row[from];
            }
        }
        else if (png.ColourType == PngHeader.Palette)
        {
            int index = Packed(row, x, png.BitDepth);
            if (3 * index >= palette!.Length) throw file.Error($"the PNG palette has {palette.Length / 3} colours, but colour {index} is used; the file is damaged");
            palette.AsSpan(3 * index, 3).CopyTo(samples.AsSpan(to));
            if (channels == 4) samples[to + 3] = index < paletteAlpha.Length ? paletteAlpha[index] : (byte)255;
        }
        else if (png.BitDepth == 8)
        {
            row.AsSpan(x * channels, channels).CopyTo(samples.AsSpan(to));
        }
        else
        {
            samples[to] = (byte)(Packed(row, x, png.BitDepth) * (255 / ((1 << png.BitDepth) - 1)));
        }
    }

    /// <summary>A sample of 1, 2, 4 or 8 bits; the leftmost one is in the high bits.</summary>
    private static int Packed(byte[] row, int x, int bits)
    {
        int bit = x * bits;
        return row[bit / 8] >> (8 - bits - bit % 8) & (1 << bits) - 1;
    }
}
