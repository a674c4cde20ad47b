using System.Buffers.Binary;
using System.IO.Compression;

namespace RawDiffusion.Formats.Tests.Images;

/// <summary>
/// Writes every kind of PNG that the reader should read, in the plainest way: samples are given unpacked, one number
/// each, and each row takes the next of the five filters.
/// </summary>
internal static class PngEncoder
{
    /// <summary>Adam7 as the specification draws it: which pass each pixel of an 8 x 8 tile belongs to.</summary>
    private static readonly string[] Adam7 = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777",
        "56565656", "77777777"];

    public static byte[] Encode(
        int width, int height, int depth, int colourType, bool interlaced, int[] samples, params byte[][] chunksBeforeData)
    {
        int perPixel = colourType switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };
        using var rows = new MemoryStream();
        for (int pass = interlaced ? 1 : 0; pass <= (interlaced ? 7 : 0); pass++)
        {
            byte[] above = [];
            for (int y = 0; y < height; y++)
            {
                int[] columns = [.. Enumerable.Range(0, width).Where(x => pass == 0 || Adam7[y % 8][x % 8] - '0' == pass)];
                if (columns.Length == 0) continue;
                byte[] row = Pack([.. columns.SelectMany(x => samples.Skip((y * width + x) * perPixel).Take(perPixel))], depth);
                if (above.Length == 0) above = new byte[row.Length];
                int filter = y % 5;
                rows.WriteByte((byte)filter);
                rows.Write(Filter(filter, row, above, Math.Max(1, perPixel * depth / 8)));
                above = row;
            }
        }
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9], header[12]) = ((byte)depth, (byte)colourType, interlaced ? (byte)1 : (byte)0);
        byte[] data = Deflate(rows.ToArray());
        // Two data chunks, because readers must join them.
        return
        [
            0x89, .. "PNG\r\n\u001a\n"u8, .. Chunk("IHDR"u8, header), .. chunksBeforeData.SelectMany(c => c),
            .. Chunk("IDAT"u8, data[..(data.Length / 2)]), .. Chunk("IDAT"u8, data[(data.Length / 2)..]), .. Chunk(
            "tEXt"u8, "a\0b"u8), .. Chunk("IEND"u8, []),
        ];
    }

    public static byte[] Chunk(ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        byte[] chunk = [0, 0, 0, 0, .. type, .. data, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        FixChecksum(chunk, 0);
        return chunk;
    }

    /// <summary>Makes all checksums right, as far as the chunks can be followed.</summary>
    public static void FixChecksums(byte[] png)
    {
        for (int at = 8; at >= 0 && at + 12 <= png.Length;) at = FixChecksum(png, at);
    }

    public static byte[] Deflate(byte[] bytes)
    {
        using var buffer = new MemoryStream();
        using (var deflated = new ZLibStream(buffer, CompressionLevel.Optimal)) deflated.Write(bytes);
        return buffer.ToArray();
    }

    private static int FixChecksum(byte[] png, int at)
    {
        uint length = BinaryPrimitives.ReadUInt32BigEndian(png.AsSpan(at));
        if (length > png.Length - at - 12) return -1;
        uint crc = ~0u;
        foreach (byte b in png.AsSpan(at + 4, 4 + (int)length))
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) * 0xEDB88320u);
        }
        BinaryPrimitives.WriteUInt32BigEndian(png.AsSpan(at + 8 + (int)length), ~crc);
        return at + 12 + (int)length;
    }

    private static byte[] Pack(int[] samples, int depth)
    {
        byte[] bytes = new byte[(samples.Length * depth + 7) / 8];
        for (int i = 0; i < samples.Length * depth; i++)
        {
            int bit = samples[i / depth] >> (depth - 1 - i % depth) & 1;
            bytes[i / 8] |= (byte)(bit << (7 - i % 8));
        }
        return bytes;
    }

    private static byte[] Filter(int filter, byte[] row, byte[] above, int pixel)
    {
        byte[] filtered = new byte[row.Length];
        for (int i = 0; i < row.Length; i++)
        {
            int a = i < pixel ? 0 : row[i - pixel], b = above[i], c = i < pixel ? 0 : above[i - pixel];
            int nearest = new[] { a, b, c }.MinBy(v => Math.Abs(a + b - c - v));
            filtered[i] = (byte)(row[i] - (filter switch { 0 => 0, 1 => a, 2 => b, 3 => (a + b) / 2, _ => nearest }));
        }
        return filtered;
    }
}
