using System.Buffers.Binary;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// Reads PGM and PPM, raw (P5, P6) and plain (P2, P3). Samples are scaled to the full range: 8 bits where the largest
/// value is at most 255, else 16.
/// </summary>
/// <remarks>Specification: the pgm(5) and ppm(5) pages of Netpbm.</remarks>
internal sealed class PnmReader
{
    private readonly FileContent file;
    private readonly byte[] content;
    private int position = 2;

    private PnmReader(FileContent file)
    {
        this.file = file;
        content = file.ReadBytes(0, file.Length, "the PNM file");
    }

    public static bool Matches(ReadOnlySpan<byte> start) =>
        start.Length >= 3 && start[0] == 'P' && start[1] is (byte)'2' or (byte)'3' or (byte)'5' or (byte)'6' && (IsSpace(start[2]) || start[2] == '#');

    public static Image Read(FileContent file) => new PnmReader(file).Read();

    private Image Read()
    {
        bool plain = content[1] is (byte)'2' or (byte)'3';
        int channels = content[1] is (byte)'2' or (byte)'5' ? 1 : 3;
        int width = Number("the width"), height = Number("the height"), largest = Number("the largest value");
        if (!Image.Fits(width, height, channels))
            throw file.Error($"the image has {width} x {height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples are read");
        if (largest is < 1 or > 65535) throw file.Error($"the largest value should be 1 to 65535, found {largest}");
        if (!plain && (position >= content.Length || !IsSpace(content[position++]))) throw file.Error("white space is missing between the header and the samples");

        int count = width * height * channels;
        int bytes = largest > 255 ? 2 : 1;
        // A plain sample takes a digit, and white space but after the last.
        long needed = plain ? 2L * count - 1 : (long)bytes * count;
        if (content.Length - position < needed)
            throw file.Error($"{width} x {height} pixels take at least {needed} bytes, {content.Length - position} are left; the file is truncated, fetch it again");

        var samples = new byte[count * bytes];
        int full = bytes == 1 ? 255 : 65535;
        for (int i = 0; i < count; i++)
        {
            int value = plain ? Number("a sample") : RawSample(bytes);
            if (value > largest) throw file.Error($"a sample is {value}, but the header names {largest} as the largest; the file is damaged");
            // Rounded to nearest; the numbers stay below 2^33.
            int scaled = (int)(((long)value * full * 2 + largest) / (2 * largest));
            if (bytes == 1) samples[i] = (byte)scaled;
            else BinaryPrimitives.WriteUInt16LittleEndian(samples.AsSpan(2 * i), (ushort)scaled);
        }
        return new Image(width, height, channels, 8 * bytes, samples);
    }

    private int RawSample(int bytes)
    {
        int value = bytes == 1 ? content[position] : BinaryPrimitives.ReadUInt16BigEndian(content.AsSpan(position));
        position += bytes;
        return value;
    }

    /// <summary>The next decimal number, after white space and comments.</summary>
    private int Number(string what)
    {
        while (position < content.Length && (IsSpace(content[position]) || content[position] == '#'))
        {
            if (content[position] == '#')
            {
                while (position < content.Length && content[position] is not ((byte)'\n' or (byte)'\r')) position++;
            }
            else
            {
                position++;
            }
        }
        int start = position;
        long value = 0;
        while (position < content.Length && content[position] is >= (byte)'0' and <= (byte)'9' && value <= int.MaxValue / 10 - 1)
            value = 10 * value + content[position++] - '0';
        if (position == start) throw file.Error($"{what} is missing at byte {start}; the file is truncated or damaged");
        return (int)value;
    }

    private static bool IsSpace(byte b) => b is (byte)' ' or (byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\v' or (byte)'\f';
}
