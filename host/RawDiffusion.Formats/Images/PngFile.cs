using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// PNG: checks that a file is whole, and hands on what its pixels need. The library would show a truncated picture without a word, and
/// unpack texts and profiles of any size.
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

    public static (Image Picture, int Orientation) Read(FileContent file, byte[] content)
    {
        List<(string Type, int Start, int Length)> chunks = Chunks(file, content);
        var header = PngHeader.Read(file, content.AsSpan(chunks[0].Start, chunks[0].Length));
        (int Channels, int Bits) layout = header.Layout(chunks.Exists(c => c.Type == "tRNS"));
        byte[] pixels = Pixels(file, content, chunks, header, layout.Channels);
        // As Python's imread has it, a transparent colour of gray and RGB is left aside; only palettes have transparency.
        byte[] before = [.. header.IsPalette ? Palette(file, content, chunks, header) : [], .. Copy("eXIf")];
        if (!header.Interlaced)
        {
            return PictureLibrary.Decode(
                file, [.. Signature, .. Chunk("IHDR"u8, header.Bytes), .. before, .. Copy("IDAT"), .. Chunk("IEND"u8, [])], layout);
        }

        // The library reads interlaced pictures of less than 5 columns wrong, or never ends: each pass is handed to it as a picture of its
        // own.
        var whole = new Image(header.Width, header.Height, layout.Channels, layout.Bits,
            new byte[header.Width * header.Height * layout.Channels * (layout.Bits / 8)]);
        int orientation = 1, position = 0;
        foreach (PngPass pass in header.Passes())
        {
            PngHeader part = header with { Width = pass.Width, Height = pass.Height, Interlaced = false };
            byte[] data = Deflate(pixels.AsSpan(position, (int)part.PixelBytes()));
            position += (int)part.PixelBytes();
            (Image picture, orientation) = PictureLibrary.Decode(file,
                [.. Signature, .. Chunk("IHDR"u8, part.Bytes), .. before, .. Chunk("IDAT"u8, data), .. Chunk("IEND"u8, [])], layout);
            pass.CopyTo(picture, whole);
        }
        return (whole, orientation);

        byte[] Copy(string type) =>
            [.. chunks.Where(c => c.Type == type).SelectMany(c => content[(c.Start - 8)..(c.Start + c.Length + 4)])];
    }

    /// <summary>All chunks up to IEND, their order and checksums checked.</summary>
    private static List<(string Type, int Start, int Length)> Chunks(FileContent file, byte[] content)
    {
        List<(string Type, int Start, int Length)> chunks = [];
        for (int position = Signature.Length; ;)
        {
            if (content.Length - position < Overhead)
                throw file.Error("the PNG file ends before its IEND chunk; it is truncated, fetch it again");
            uint length = BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position));
            if (length > content.Length - position - Overhead)
            {
                throw file.Error($"a PNG chunk of {length} bytes reaches past the end of the file; it is truncated or damaged, fetch "
                    + "it again");
            }

            ReadOnlySpan<byte> typed = content.AsSpan(position + 4, 4 + (int)length);
            string type = Encoding.Latin1.GetString(typed[..4]);
            if (Crc32.Of(typed) != BinaryPrimitives.ReadUInt32BigEndian(content.AsSpan(position + 8 + (int)length)))
                throw file.Error($"the checksum of the PNG chunk '{type}' is wrong; the file is damaged, fetch it again");
            if ((type == "IHDR") != (chunks.Count == 0)) throw file.Error("a PNG file must begin with an IHDR chunk and have no other");
            if (type == "IDAT" && chunks[^1].Type != "IDAT" && chunks.Exists(c => c.Type == "IDAT"))
                throw file.Error("the IDAT chunks of the PNG file are not consecutive; the file is damaged");
            // A capital first letter marks chunks without which the image cannot be shown.
            if (type[0] is >= 'A' and <= 'Z' && !Kept.Contains(type))
                throw file.Error($"the PNG file needs a chunk '{type}', which is not supported");
            chunks.Add((type, position + 8, (int)length));
            if (type == "IEND") return chunks;
            position += Overhead + (int)length;
        }
    }

    /// <summary>
    /// The unpacked data: a filter byte and the samples of each row. It is whole, and has no more than the picture needs.
    /// </summary>
    private static byte[] Pixels(
        FileContent file, byte[] content, List<(string Type, int Start, int Length)> chunks, PngHeader header, int channels)
    {
        long needed = header.PixelBytes(), held = chunks.Where(c => c.Type == "IDAT").Sum(c => (long)c.Length);
        if (needed > held * MaxInflation)
        {
            throw file.Error($"{held} bytes of PNG data cannot hold {header.Width} x {header.Height} pixels; the file is truncated "
                + "or damaged");
        }

        PictureLibrary.CheckSize(file, header.Width, header.Height, channels);
        using var compressed = new MemoryStream((int)held);
        foreach ((_, int start, int length) in chunks.Where(c => c.Type == "IDAT")) compressed.Write(content, start, length);
        compressed.Position = 0;
        byte[] pixels = new byte[needed];
        try
        {
            using var inflated = new ZLibStream(compressed, CompressionMode.Decompress);
            inflated.ReadExactly(pixels);
            // One byte further stands the checksum of it all.
            if (inflated.ReadByte() >= 0) throw file.Error("the PNG data has more bytes than the picture needs; the file is damaged");
            return pixels;
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException)
        {
            throw file.Error("the compressed PNG data is damaged or too short; fetch the file again", exception);
        }
    }

    /// <summary>The palette, black where it has fewer colours than indices: the library reads past its end. And its transparency.</summary>
    private static byte[] Palette(FileContent file, byte[] content, List<(string Type, int Start, int Length)> chunks, PngHeader header)
    {
        int at = chunks.FindIndex(c => c.Type == "PLTE"), alpha = chunks.FindIndex(c => c.Type == "tRNS");
        if (at < 0) throw file.Error("the PNG file has no palette (PLTE), but its colours are palette indices");
        (_, int start, int length) = chunks[at];
        if (length == 0 || length % 3 != 0 || length > 3 * 256) throw file.Error($"a PNG palette cannot have {length} bytes");
        byte[] colours = new byte[Math.Max(length, 3 << header.BitDepth)];
        content.AsSpan(start, length).CopyTo(colours);
        byte[] transparency = alpha < 0 ? []
            : content.AsSpan(chunks[alpha].Start, Math.Min(chunks[alpha].Length, colours.Length / 3)).ToArray();
        return [.. Chunk("PLTE"u8, colours), .. alpha < 0 ? [] : Chunk("tRNS"u8, transparency)];
    }

    private static byte[] Chunk(ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        byte[] chunk = [0, 0, 0, 0, .. type, .. data, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(8 + data.Length), Crc32.Of(chunk.AsSpan(4, 4 + data.Length)));
        return chunk;
    }

    private static byte[] Deflate(ReadOnlySpan<byte> bytes)
    {
        using var buffer = new MemoryStream();
        using (var deflated = new ZLibStream(buffer, CompressionLevel.NoCompression)) deflated.Write(bytes);
        return buffer.ToArray();
    }
}
