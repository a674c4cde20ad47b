namespace RawDiffusion.Formats.Images;

/// <summary>Image files: reads PNG, JPEG, PGM and PPM, writes PNG.</summary>
public static class ImageFile
{
    /// <summary>Whether the system's TurboJPEG library, without which JPEG cannot be read, was found.</summary>
    public static bool CanReadJpeg => TurboJpeg.IsAvailable;

    /// <summary>
    /// Reads an image; the format is told by content. Gray stays gray, palettes become RGB (RGBA with transparency), 16 bits
    /// stay 16. JPEG needs the TurboJPEG library of the system.
    /// </summary>
    /// <exception cref="FileFormatException">
    /// The file is no image of these formats, is damaged, is larger than <see cref="Image.MaxSamples"/>, or is a JPEG and the
    /// TurboJPEG library is not installed.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static Image Read(string path)
    {
        using var file = new FileContent(path);
        byte[] start = file.ReadBytes(0, Math.Min(16, file.Length), "the file's start");
        if (PngReader.Matches(start)) return PngReader.Read(file);
        if (JpegReader.Matches(start)) return JpegReader.Read(file);
        if (PnmReader.Matches(start)) return PnmReader.Read(file);
        throw file.Error($"expected a PNG, JPEG, PGM or PPM image, but the file starts with {Checkpoint.FirstBytes(file)}");
    }

    /// <summary>What to do to read JPEG where <see cref="CanReadJpeg"/> is false.</summary>
    public static string JpegAdvice => TurboJpeg.Missing;

    /// <summary>Writes a PNG file, whole or not at all.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void WritePng(string path, Image image) => AtomicFile.Write(path, stream => PngWriter.Write(stream, image));
}
