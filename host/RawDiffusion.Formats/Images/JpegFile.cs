using System.Buffers.Binary;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// JPEG: finds out whether a file is whole, and hands on what its pixels need. The library would show half a file as a picture that is gray
/// below, and refuses good files for what stands in their profiles and thumbnails.
/// </summary>
/// <remarks>Specification: ITU-T T.81, annex B.</remarks>
internal static class JpegFile
{
    private const byte StartOfImage = 0xd8, EndOfImage = 0xd9, StartOfScan = 0xda, Comment = 0xfe;
    private const byte FirstApplication = 0xe0, Exif = 0xe1, Adobe = 0xee, LastApplication = 0xef;

    /// <summary>
    /// Entropy coding takes at least a bit for each block of 64 pixels, 512 pixels a byte; a progressive scan may pass over many blocks.
    /// </summary>
    private const int MaxPixelsPerByte = 4096;

    /// <summary>More scans than any encoder makes, each of which is decoded over the whole picture.</summary>
    private const int MaxScans = 100;

    public static bool Matches(ReadOnlySpan<byte> content) => content.StartsWith((ReadOnlySpan<byte>)[0xff, StartOfImage, 0xff]);

    public static (Image Picture, int Orientation) Read(FileContent file, byte[] content)
    {
        (byte[] kept, int components, End end) = Kept(file, content);
        if (end == End.Marked) return Decode(file, kept, components);
        if (end == End.BetweenScans) throw file.Error("the JPEG file ends before its last scan; it is truncated, fetch it again");
        // Some cameras and programs leave out the end marker, and a file may be cut anywhere. If the picture is complete, it does not
        // depend on what follows.
        (Image Picture, int Orientation)[] endings = [
            .. new byte[] { 0x00, 0x55, 0xfe }.Select(b => Decode(file, WithEnding(kept, b), components))];
        if (endings.All(e => e.Picture.Samples.AsSpan().SequenceEqual(endings[0].Picture.Samples))) return endings[0];
        throw file.Error("the JPEG file ends before its picture does; it is truncated, fetch it again");
    }

    /// <summary>
    /// Decodes a whole file. The library repeats a chroma sample over the pixels that share it; other programs interpolate, and so does
    /// this: with an Adobe segment that says "no transform" the library gives the planes as they are.
    /// </summary>
    private static (Image Picture, int Orientation) Decode(FileContent file, byte[] kept, int components)
    {
        if (JpegChroma.Of(kept) is not { } chroma) return PictureLibrary.Decode(file, kept, (components == 1 ? 1 : 3, 8));
        (Image planes, int orientation) = PictureLibrary.Decode(file, [.. kept[..2], .. JpegChroma.Untransformed, .. kept[2..]]);
        return (chroma.ToRgb(planes), orientation);
    }

    /// <summary>The file without comments and without application segments but those of orientation and colours.</summary>
    private static (byte[] Kept, int Components, End End) Kept(FileContent file, byte[] content)
    {
        using var kept = new MemoryStream(content.Length);
        kept.Write(content, 0, 2);
        // A sequential picture is complete when each component had its scan; a progressive one says so by its end marker alone.
        int scans = 0, components = 0, missing = 0;
        for (int position = 2; ;)
        {
            // Other programs pass over stray bytes before a marker.
            while (position < content.Length && content[position] != 0xff) position++;
            while (position + 1 < content.Length && content[position + 1] == 0xff) position++;
            if (position + 1 >= content.Length) throw file.Error("the JPEG file ends before its picture; it is truncated, fetch it again");
            byte marker = content[position + 1];
            if (marker == EndOfImage && scans > 0)
            {
                kept.Write([0xff, EndOfImage]);
                return (kept.ToArray(), components, End.Marked);
            }
            // Stand-alone markers, and a stuffed byte outside of a scan, hold nothing.
            if (marker is EndOfImage or StartOfImage or 0 or 1 or (>= 0xd0 and <= 0xd7))
            {
                position += 2;
                continue;
            }
            if (content.Length - position < 4) throw file.Error("the JPEG file ends before its picture; it is truncated, fetch it again");
            int length = 2 + BinaryPrimitives.ReadUInt16BigEndian(content.AsSpan(position + 2));
            if (length < 4 || length > content.Length - position)
            {
                throw file.Error($"a JPEG segment of {length} bytes reaches past the end of the file; it is truncated or damaged, fetch "
                    + "it again");
            }

            if (IsFrame(marker))
            {
                components = CheckFrame(file, content, position, length);
                missing = marker is 0xc0 or 0xc1 ? components : int.MaxValue;
            }
            if (marker == StartOfScan) missing -= content[position + 4];
            if (marker != Comment && marker is < FirstApplication or > LastApplication or Exif or Adobe)
                kept.Write(content, position, length);
            position += length;
            if (marker != StartOfScan) continue;

            if (++scans > MaxScans) throw file.Error($"expected a JPEG file of at most {MaxScans} scans, found more; convert it to PNG");
            int end = EndOfScan(content, position);
            kept.Write(content, position, end - position);
            position = end;
            if (position >= content.Length - 1) return (kept.ToArray(), components, missing <= 0 ? End.InLastScan : End.BetweenScans);
        }
    }

    /// <summary>The first marker after coded data that is no stuffed byte and no restart; the file's length if there is none.</summary>
    private static int EndOfScan(byte[] content, int position)
    {
        for (; position + 1 < content.Length; position++)
        {
            if (content[position] == 0xff && content[position + 1] is not (0 or 0xff or (>= 0xd0 and <= 0xd7))) return position;
        }
        return content.Length;
    }

    private static bool IsFrame(byte marker) => marker is >= 0xc0 and <= 0xcf and not (0xc4 or 0xc8 or 0xcc);

    /// <summary>Checks the size; gives the number of components.</summary>
    private static int CheckFrame(FileContent file, byte[] content, int position, int length)
    {
        if (length < 11) throw file.Error("the JPEG header is damaged; fetch the file again");
        int height = BinaryPrimitives.ReadUInt16BigEndian(content.AsSpan(position + 5)), width = BinaryPrimitives.ReadUInt16BigEndian(
            content.AsSpan(position + 7));
        PictureLibrary.CheckSize(file, width, height, 3);
        if ((long)width * height > (long)content.Length * MaxPixelsPerByte)
            throw file.Error($"{content.Length} bytes of JPEG cannot hold {width} x {height} pixels; the file is truncated or damaged");
        return content[position + 9];
    }

    /// <summary>How a file ends.</summary>
    private enum End
    {
        Marked,
        InLastScan,
        BetweenScans,
    }

    private static byte[] WithEnding(byte[] kept, byte value)
    {
        // Long enough for a decoder that reads ahead, and for the rest of a block.
        byte[] ending = new byte[4096];
        ending.AsSpan().Fill(value);
        return [.. kept, .. ending, 0xff, EndOfImage];
    }
}
