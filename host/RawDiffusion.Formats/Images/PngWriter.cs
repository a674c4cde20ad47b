using System.Buffers.Binary;
using System.IO.Compression;

namespace RawDiffusion.Formats.Images;

/// <summary>Writes PNG, 8 or 16 bits, gray to RGBA, not interlaced.</summary>
internal static class PngWriter
{
    public static void Write(Stream stream, Image image)
    {
        stream.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a]);
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, image.Width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), image.Height);
        header[8] = (byte)image.BitDepth;
        header[9] = image.Channels switch { 1 => PngHeader.Gray, 2 => PngHeader.GrayAlpha, 3 => PngHeader.Rgb, _ => PngHeader.RgbAlpha };
        WriteChunk(stream, "IHDR"u8, header);
        WriteChunk(stream, "IDAT"u8, Compress(image));
        WriteChunk(stream, "IEND"u8, []);
    }

    private static byte[] Compress(Image image)
    {
        int pixelBytes = image.Channels * (image.BitDepth / 8);
        int rowBytes = image.Width * pixelBytes;
        var row = new byte[rowBytes];
        var above = new byte[rowBytes];
        var candidate = new byte[rowBytes];
        var best = new byte[rowBytes];
        using var buffer = new MemoryStream();
        using (var deflated = new ZLibStream(buffer, CompressionLevel.Optimal, leaveOpen: true))
        {
            for (int y = 0; y < image.Height; y++)
            {
                image.Samples.AsSpan(y * rowBytes, rowBytes).CopyTo(row);
                if (image.BitDepth == 16) SwapBytes(row);
                // The usual heuristic: the filter whose output is smallest as signed bytes compresses best.
                (int filter, long least) = (0, long.MaxValue);
                for (int f = 0; f < PngFilter.Count; f++)
                {
                    PngFilter.Apply(f, row, above, pixelBytes, candidate);
                    long sum = 0;
                    foreach (byte b in candidate) sum += Math.Abs((int)(sbyte)b);
                    if (sum >= least) continue;
                    (filter, least) = (f, sum);
                    (best, candidate) = (candidate, best);
                }
                deflated.WriteByte((byte)filter);
                deflated.Write(best);
                (row, above) = (above, row);
            }
        }
        return buffer.ToArray();
    }

    private static void SwapBytes(byte[] samples)
    {
        for (int i = 0; i < samples.Length; i += 2) (samples[i], samples[i + 1]) = (samples[i + 1], samples[i]);
    }

    private static void WriteChunk(Stream stream, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        stream.Write(number);
        stream.Write(type);
        stream.Write(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc32.Of(data, Crc32.Of(type)));
        stream.Write(number);
    }
}
