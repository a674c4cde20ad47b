using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// PNG: checks that a file is whole, and hands on what its pixels need. The library would show a truncated picture without a word, and unpack
/// texts and profiles of any size.
/// </summary>
/// <remarks>Specification: W3C Portable Network Graphics, third edition.</remarks>
internal static class PngFile
{
    /// <summary>Deflate codes at most 258 bytes in 2 bits, so its output is never more than about 1032 times its input.</summary>
    private const int MaxInflation = 1032;

    private const int Overhead = 12;

    private static readonly byte[] Signature = [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a];

    private static readonly string[] Kept = ["IHDR", "PLTE", "tRNS", "IDAT", "eXIf", "IEND"];

    public static bool Matches(ReadOnlySpan<byte> content) => content.StartsWith(Signature);

    public static Image Read(FileContent file, byte[] content, ImageOrientation orientation)
    {
        List<(string Type, int Start, int Length)> chunks = Chunks(file, content);
        CheckData(file, content, chunks);
        byte[] header = content[chunks[0].Start..][..13];
        using var kept = new MemoryStream(content.Length);
        kept.Write(Signature);
        foreach ((string type, int start, int length) in chunks)
        {
            // As Python's imread has it, a transparent colour of gray and RGB is left aside; only palettes have transparency.
            if (Kept.Contains(type) && (type != "tRNS" || header[9] == 3)) kept.Write(content, start - 8, length + Overhead);
        }
        return PictureLibrary.Decode(file, kept.ToArray(), orientation);
    }

    /// <summary>All chunks up to IEND, their order and checksums checked.</summary>
    private static List<(string Type, int Start, int Length)> Chunks(FileContent file, byte[] content)
    {
        List<(string Type, int Start, int Length)> chunks = [];
        for (int position = Signature.Length; ;)
        {
            if (content.Length - position < Overhead) throw file.Error("the PNG file ends before its IEND chunk; it is truncated, fetch it again");
            uint length = BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position));
            if (length > content.Length - position - Overhead)
                throw file.Error($"a PNG chunk of {length} bytes reaches past the end of the file; it is truncated or damaged, fetch it again");
            ReadOnlySpan<byte> typed = content.AsSpan(position + 4, 4 + (int)length);
            string type = Encoding.Latin1.GetString(typed[..4]);
            if (Crc32.Of(typed) != BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position + 8 + (int)length)))
                throw file.Error($"the checksum of the PNG chunk '{type}' is wrong; the file is damaged, fetch it again");
            if ((type == "IHDR") != (chunks.Count == 0) || type == "IHDR" && length != 13) throw file.Error("a PNG file must begin with an IHDR chunk and have no other");
            if (type == "IDAT" && chunks[^1].Type != "IDAT" && chunks.Exists(c => c.Type == "IDAT"))
                throw file.Error("the IDAT chunks of the PNG file are not consecutive; the file is damaged");
            // A capital first letter marks chunks without which the image cannot be shown.
            if (type[0] is >= 'A' and <= 'Z' && !Kept.Contains(type)) throw file.Error($"the PNG file needs a chunk '{type}', which is not supported");
            chunks.Add((type, position + 8, (int)length));
            if (type == "IEND") return chunks;
            position += Overhead + (int)length;
        }
    }

    /// <summary>Whether the compressed data is whole and has a row for every row of the picture.</summary>
    private static void CheckData(FileContent file, byte[] content, List<(string Type, int Start, int Length)> chunks)
    {
        ReadOnlySpan<byte> header = content.AsSpan(chunks[0].Start);
        int width = BinaryPrimitives.ReadInt32BigEndian(header), height = BinaryPrimitives.ReadInt32BigEndian(header[4..]);
        (int depth, int colour, bool interlaced) = (header[8], header[9], header[12] == 1);
        if (!IsKind(depth, colour)) throw file.Error($"a PNG file cannot have colour type {colour} with {depth} bits; it is damaged");
        if (header[10] != 0 || header[11] != 0 || header[12] > 1) throw file.Error("the PNG file is compressed, filtered or interlaced in an unknown way");
        int samples = colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };
        PictureLibrary.CheckSize(file, width, height, colour == 3 ? 4 : samples);
        long needed = interlaced ? InterlacedBytes(width, height, samples * depth) : Bytes(width, height, samples * depth);
        long held = chunks.Where(c => c.Type == "IDAT").Sum(c => (long)c.Length);
        if (needed > held * MaxInflation) throw file.Error($"{held} bytes of PNG data cannot hold {width} x {height} pixels; the file is truncated or damaged");
        if (colour == 3) CheckPalette(file, chunks);

        using var compressed = new MemoryStream((int)held);
        foreach ((_, int start, int length) in chunks.Where(c => c.Type == "IDAT")) compressed.Write(content, start, length);
        compressed.Position = 0;
        try
        {
            using var inflated = new ZLibStream(compressed, CompressionMode.Decompress);
            var buffer = new byte[1 << 16];
            for (int read = 1; needed > 0 && read > 0; needed -= read) read = inflated.Read(buffer, 0, (int)Math.Min(needed, buffer.Length));
            // To the end, where the checksum is: a picture has no more data than its pixels.
            if (needed > 0 || inflated.Read(buffer, 0, 1) > 0) throw file.Error("the PNG data does not have as many bytes as the picture needs; the file is damaged");
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException)
        {
            throw file.Error("the PNG data is damaged; fetch the file again", exception);
        }
    }

    private static void CheckPalette(FileContent file, List<(string Type, int Start, int Length)> chunks)
    {
        int at = chunks.FindIndex(c => c.Type == "PLTE");
        if (at < 0) throw file.Error("the PNG file has no palette (PLTE), but its colours are palette indices");
        int length = chunks[at].Length;
        if (length == 0 || length % 3 != 0 || length > 3 * 256) throw file.Error($"a PNG palette cannot have {length} bytes");
    }

    private static bool IsKind(int depth, int colour) =>
        (colour, depth) is (0, 1 or 2 or 4 or 8 or 16) or (3, 1 or 2 or 4 or 8) or (2 or 4 or 6, 8 or 16);

    /// <summary>Bytes of so many pixels, with the filter byte before each row.</summary>
    private static long Bytes(int width, int height, int bits) => width == 0 || height == 0 ? 0 : height * (1 + ((long)width * bits + 7) / 8);

    /// <summary>Bytes of the seven passes of Adam7.</summary>
    private static long InterlacedBytes(int width, int height, int bits)
    {
        (int X, int Y, int StepX, int StepY)[] passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
        return passes.Sum(p => Bytes((width - p.X + p.StepX - 1) / p.StepX, (height - p.Y + p.StepY - 1) / p.StepY, bits));
    }
}
