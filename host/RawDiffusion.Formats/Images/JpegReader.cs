namespace RawDiffusion.Formats.Images;

/// <summary>Reads JPEG, baseline and progressive, gray and colour, with the system's TurboJPEG library.</summary>
internal static class JpegReader
{
    /// <summary>
    /// Entropy coding takes at least a bit for each block of 64 pixels, 512 pixels a byte; arithmetic coding may take less.
    /// </summary>
    private const int MaxPixelsPerByte = 4096;

    public static bool Matches(ReadOnlySpan<byte> start) => start.StartsWith((ReadOnlySpan<byte>)[0xff, 0xd8, 0xff]);

    public static Image Read(FileContent file)
    {
        if (!TurboJpeg.IsAvailable) throw file.Error(TurboJpeg.Missing);
        byte[] jpeg = file.ReadBytes(0, file.Length, "the JPEG file");
        nint decoder = TurboJpeg.InitDecompress();
        if (decoder == 0) throw new InvalidOperationException("TurboJPEG cannot make a decoder; memory is probably short");
        try
        {
            return Decode(file, decoder, jpeg);
        }
        finally
        {
            TurboJpeg.Destroy(decoder);
        }
    }

    private static Image Decode(FileContent file, nint decoder, byte[] jpeg)
    {
        bool known = TurboJpeg.DecompressHeader(decoder, jpeg, out int width, out int height, out int colour) == 0 || IsHarmless(decoder);
        if (!known) throw file.Error($"the JPEG header is damaged ({TurboJpeg.ErrorText(decoder)}); fetch the file again");
        if (colour is TurboJpeg.ColourCmyk or TurboJpeg.ColourYcck) throw file.Error("the JPEG image has CMYK colours, which are not supported; convert it to RGB");
        int channels = colour == TurboJpeg.ColourGray ? 1 : 3;
        if (!Image.Fits(width, height, channels))
            throw file.Error($"the JPEG image has {width} x {height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples are read");
        if ((long)width * height > (long)jpeg.Length * MaxPixelsPerByte)
            throw file.Error($"{jpeg.Length} bytes of JPEG cannot hold {width} x {height} pixels; the file is truncated or damaged");

        var samples = new byte[width * height * channels];
        int format = channels == 1 ? TurboJpeg.PixelGray : TurboJpeg.PixelRgb;
        if (TurboJpeg.Decompress(decoder, jpeg, samples, width, height, format, TurboJpeg.FlagLimitScans) != 0 && !IsHarmless(decoder))
            throw file.Error($"the JPEG data is damaged or truncated ({TurboJpeg.ErrorText(decoder)}); fetch the file again");
        return new Image(width, height, channels, 8, samples);
    }

    /// <summary>
    /// Stray bytes between markers are common in the wild, and other programs pass over them too. The library's own
    /// distinction of warnings and errors does not help: an error after a warning counts as a warning.
    /// </summary>
    private static bool IsHarmless(nint decoder) => TurboJpeg.ErrorText(decoder).Contains("extraneous bytes before marker", StringComparison.Ordinal);
}
