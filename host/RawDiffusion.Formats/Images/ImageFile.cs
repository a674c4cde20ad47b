namespace RawDiffusion.Formats.Images;

/// <summary>Image files: reads PNG, JPEG, PGM and PPM, and what ImageSharp reads in a build that has it; writes PNG.</summary>
public static class ImageFile
{
    /// <summary>Whether JPEG can be read: the system's TurboJPEG library was found, or the build has ImageSharp.</summary>
    public static bool CanReadJpeg => TurboJpeg.IsAvailable || OtherImages.IsAvailable;

    /// <summary>
    /// Reads an image; the format is told by content. Gray stays gray, palettes become RGB (RGBA with transparency), 16 bits
    /// stay 16. JPEG needs <see cref="CanReadJpeg"/>.
    /// </summary>
    /// <exception cref="FileFormatException">
    /// The file is no image of these formats, is damaged, is larger than <see cref="Image.MaxSamples"/>, or is a JPEG and
    /// <see cref="CanReadJpeg"/> is false.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static Image Read(string path)
    {
        using var file = new FileContent(path);
        return Read(file);
    }

    internal static Image Read(FileContent file)
    {
        byte[] start = file.ReadBytes(0, Math.Min(16, file.Length), "the file's start");
        if (PngReader.Matches(start)) return PngReader.Read(file);
        if (JpegReader.Matches(start) && (TurboJpeg.IsAvailable || !OtherImages.IsAvailable)) return JpegReader.Read(file);
        if (PnmReader.Matches(start)) return PnmReader.Read(file);
        return OtherImages.Read(file);
    }

    /// <summary>What to do to read JPEG where <see cref="CanReadJpeg"/> is false.</summary>
    public static string JpegAdvice => TurboJpeg.Missing;

    /// <summary>Writes a PNG file, whole or not at all.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void WritePng(string path, Image image) => AtomicFile.Write(path, stream => PngWriter.Write(stream, image));
}
