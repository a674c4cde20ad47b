using SixLabors.ImageSharp;
using SixLabors.ImageSharp.Formats;
using SixLabors.ImageSharp.PixelFormats;
using Decoded = SixLabors.ImageSharp.Image;

namespace RawDiffusion.Formats.Images;

/// <summary>Formats that have no reader here, from SixLabors.ImageSharp: WebP, TIFF, BMP, GIF, TGA, and JPEG where there is no TurboJPEG.</summary>
internal static class OtherImages
{
    /// <summary>Whether there are any.</summary>
    public static bool IsAvailable => true;

    /// <summary>Reads the first frame of an image, 8 bits a sample, RGB, or RGBA if any pixel is not opaque.</summary>
    /// <exception cref="FileFormatException">It is none, is damaged, or is larger than <see cref="Image.MaxSamples"/>.</exception>
    public static Image Read(FileContent file)
    {
        using var stream = new MemoryStream(file.ReadBytes(0, file.Length, "the image file"), writable: false);
        var options = new DecoderOptions { MaxFrames = 1, SkipMetadata = true };
        try
        {
            ImageInfo info = Decoded.Identify(options, stream);
            if (!Image.Fits(info.Width, info.Height, 4))
                throw file.Error($"the image has {info.Width} x {info.Height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples are read");
            stream.Position = 0;
            using Image<Rgba32> decoded = Decoded.Load<Rgba32>(options, stream);
            var samples = new byte[4 * decoded.Width * decoded.Height];
            decoded.CopyPixelDataTo(samples);
            return WithoutOpaqueAlpha(decoded.Width, decoded.Height, samples);
        }
        catch (UnknownImageFormatException exception)
        {
            throw file.Error($"expected a PNG, JPEG, WebP, TIFF, BMP, GIF, TGA, PGM or PPM image, but the file starts with {Checkpoint.FirstBytes(file)}", exception);
        }
        catch (Exception exception) when (exception is ImageFormatException or NotSupportedException)
        {
            throw file.Error($"the image is damaged, or of a kind that is not supported ({exception.Message}); convert it to PNG", exception);
        }
    }

    private static Image WithoutOpaqueAlpha(int width, int height, byte[] rgba)
    {
        for (int i = 3; i < rgba.Length; i += 4)
        {
            if (rgba[i] != byte.MaxValue) return new Image(width, height, 4, 8, rgba);
        }
        var rgb = new byte[rgba.Length / 4 * 3];
        for (int from = 0, to = 0; from < rgba.Length; from += 4, to += 3) rgba.AsSpan(from, 3).CopyTo(rgb.AsSpan(to));
        return new Image(width, height, 3, 8, rgb);
    }
}
