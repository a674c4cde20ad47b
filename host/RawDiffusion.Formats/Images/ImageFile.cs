namespace RawDiffusion.Formats.Images;

/// <summary>Image files: reads PNG, JPEG, WebP, BMP, TGA and PNM; writes PNG.</summary>
public static class ImageFile
{
    /// <summary>
    /// The longest file that is read. Formats without compression need 2 bytes for each of <see cref="Image.MaxSamples"/>, and a header.
    /// </summary>
    public const long MaxBytes = 2L * Image.MaxSamples + (1 << 20);

    /// <summary>
    /// Reads an image; its content tells the format. Gray stays gray, palettes become RGB (RGBA with transparency), 16 bits of PNG and PNM
    /// stay 16. A file of several frames gives the first.
    /// </summary>
    /// <param name="path">A regular file.</param>
    /// <param name="orientation">What to do with a picture that a camera has turned.</param>
    /// <exception cref="FileFormatException">
    /// The file is no image of these formats, is damaged or truncated, or has more than <see cref="Image.MaxSamples"/> samples.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static Image Read(string path, ImageOrientation orientation = ImageOrientation.Exif)
    {
        using var file = new FileContent(path);
        return Read(file, orientation);
    }

    internal static Image Read(FileContent file, ImageOrientation orientation = ImageOrientation.Exif)
    {
        if (file.Length > MaxBytes) throw file.Error($"expected a picture of at most {MaxBytes} bytes, found {file.Length}");
        byte[] content = file.ReadBytes(0, file.Length, "the picture");
        (Image picture, int turned) = PngFile.Matches(content) ? PngFile.Read(file, content)
            : JpegFile.Matches(content) ? JpegFile.Read(file, content)
            : PnmReader.Matches(content) ? (PnmReader.Read(file, content), 1)
            : PictureLibrary.DecodeWhole(file, content);
        return orientation == ImageOrientation.Exif ? picture.Upright(turned) : picture;
    }

    /// <summary>Writes a PNG file, whole or not at all.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void WritePng(string path, Image image) => AtomicFile.Write(path, stream => PictureLibrary.EncodePng(stream, image));
}

/// <summary>What is done with a picture whose EXIF data says that it was taken with the camera turned.</summary>
public enum ImageOrientation
{
    /// <summary>It is turned upright.</summary>
    Exif,

    /// <summary>It stays as it is stored.</summary>
    Raw,
}
