using System.Buffers.Binary;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// Reads PBM, PGM and PPM, raw (P4, P5, P6) and plain (P1, P2, P3). Samples are scaled to the full range: 8 bits where the largest
/// value is at most 255, else 16. Our own, because ImageSharp 2.1 scales by whole numbers (50 of 100 becomes 100), reads plain bits wrong,
/// and takes missing samples for black.
/// </summary>
/// <remarks>Specification: the pbm(5), pgm(5) and ppm(5) pages of Netpbm.</remarks>
internal sealed class PnmReader
{
    private readonly FileContent file;
    private readonly byte[] content;
    private int position = 2, width;

    private PnmReader(FileContent file, byte[] content) => (this.file, this.content) = (file, content);

    public static bool Matches(ReadOnlySpan<byte> content) =>
        content.Length >= 3 && content[0] == 'P' && content[1] is >= (byte)'1' and <= (byte)'6'
        && (IsSpace(content[2]) || content[2] == '#');

    public static Image Read(FileContent file, byte[] content) => new PnmReader(file, content).Read();

    private Image Read()
    {
        char kind = (char)content[1];
        bool plain = kind < '4', bits = kind is '1' or '4';
        int channels = kind is '3' or '6' ? 3 : 1;
        width = Number("the width");
        int height = Number("the height"), largest = bits ? 1 : Number("the largest value");
        PictureLibrary.CheckSize(file, width, height, channels);
        if (largest is < 1 or > 65535) throw file.Error($"the largest value should be 1 to 65535, found {largest}");
        if (!plain && (position >= content.Length || !IsSpace(content[position++])))
            throw file.Error("white space is missing between the header and the samples");

        int count = width * height * channels;
        int bytes = largest > 255 ? 2 : 1;
        // A plain number takes a digit, and white space but after the last. Bits need no white space; raw ones fill rows of whole bytes.
        long needed = plain ? (bits ? count : 2L * count - 1) : bits ? (width + 7L) / 8 * height : (long)bytes * count;
        if (content.Length - position < needed)
        {
            throw file.Error($"{width} x {height} pixels take at least {needed} bytes, {content.Length - position} are left; the file is "
                + "truncated, fetch it again");
        }

        byte[] samples = new byte[count * bytes];
        int full = bytes == 1 ? 255 : 65535;
        for (int i = 0; i < count; i++)
        {
            int value = bits ? 1 - Bit(plain, i % width) : plain ? Number("a sample") : RawSample(bytes);
            if (value > largest)
                throw file.Error($"a sample is {value}, but the header names {largest} as the largest; the file is damaged");
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

    /// <summary>The next bit, 1 for black.</summary>
    private int Bit(bool plain, int x)
    {
        if (!plain)
        {
            int bit = content[position] >> (7 - x % 8) & 1;
            if (x % 8 == 7 || x == width - 1) position++;
            return bit;
        }
        SkipSpace();
        if (position >= content.Length || content[position] is not ((byte)'0' or (byte)'1'))
            throw file.Error($"a bit is missing at byte {position}; the file is truncated or damaged");
        return content[position++] - '0';
    }

    /// <summary>The next decimal number, after white space and comments.</summary>
    private int Number(string what)
    {
        SkipSpace();
        int start = position;
        long value = 0;
        while (position < content.Length && content[position] is >= (byte)'0' and <= (byte)'9' && value <= int.MaxValue / 10 - 1)
            value = 10 * value + content[position++] - '0';
        if (position == start) throw file.Error($"{what} is missing at byte {start}; the file is truncated or damaged");
        return (int)value;
    }

    private void SkipSpace()
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
    }

    private static bool IsSpace(byte b) => b is (byte)' ' or (byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\v' or (byte)'\f';
}
