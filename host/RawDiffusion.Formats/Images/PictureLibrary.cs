using System.Buffers.Binary;
using SixLabors.ImageSharp;
using SixLabors.ImageSharp.Formats.Bmp;
using SixLabors.ImageSharp.Formats.Jpeg;
using SixLabors.ImageSharp.Formats.Png;
using SixLabors.ImageSharp.Formats.Tga;
using SixLabors.ImageSharp.Formats.Webp;
using SixLabors.ImageSharp.Memory;
using SixLabors.ImageSharp.Metadata.Profiles.Exif;
using SixLabors.ImageSharp.PixelFormats;
using Pixels = SixLabors.ImageSharp.Image;

namespace RawDiffusion.Formats.Images;

/// <summary>
/// Decodes and encodes pictures with SixLabors.ImageSharp. Only the formats that are registered here can be reached: its decoders of GIF
/// and
/// TIFF have had memory-unsafe faults.
/// </summary>
internal static class PictureLibrary
{
    /// <summary>The library's own working memory for one buffer; the largest picture in the widest pixels takes as much.</summary>
    private const int MaxMegabytes = 1024;

    /// <summary>Runs of TGA and BMP code at most 128 pixels a byte.</summary>
    private const int MaxPixelsPerByte = 128, MinPixels = 1 << 22;

    /// <summary>
    /// WebP codes a picture of one colour in a few bytes, whatever its size. Decoding 2^28 pixels of it takes 7 seconds: small files may
    /// have 4096 x 4096 of them, and others what its longest copies code.
    /// </summary>
    private const int MaxWebpPixelsPerByte = 2048, MinWebpPixels = 1 << 24;

    private static readonly Configuration Formats = new(
        new PngConfigurationModule(), new JpegConfigurationModule(), new WebpConfigurationModule(), new BmpConfigurationModule(),
        new TgaConfigurationModule())
    {
        MemoryAllocator = MemoryAllocator.Create(new() { AllocationLimitMegabytes = MaxMegabytes, MaximumPoolSizeMegabytes = 64 }),
        // Pictures are decoded side by side by their callers.
        MaxDegreeOfParallelism = 1,
    };

    /// <summary>Decodes a picture whose container has been checked, as far as its format has a check.</summary>
    /// <param name="file">What errors name.</param>
    /// <param name="content">The picture.</param>
    /// <param name="layout">Channels and bits that lose nothing of it; null for 8 bits of red, green, blue, and alpha if it has
    /// that.</param>
    /// <returns>The picture as it is stored, and its EXIF orientation, 1 for upright.</returns>
    /// <exception cref="FileFormatException">It is none, is damaged, or is too large.</exception>
    public static (Image Picture, int Orientation) Decode(FileContent file, byte[] content, (int Channels, int Bits)? layout = null)
    {
        try
        {
            IImageInfo info = Pixels.Identify(Formats, new MemoryStream(content, writable: false)) ?? throw Unknown(file, content);
            CheckSize(file, info.Width, info.Height, 4);
            if (layout is null) CheckDensity(file, content, info.Width, info.Height);
            (int channels, int bits) = layout ?? (info.PixelType.BitsPerPixel == 32 ? 4 : 3, 8);
            return (channels, bits) switch
            {
                (1, 8) => Load<L8>(content, 1, 8),
                (2, 8) => Load<La16>(content, 2, 8),
                (3, 8) => Load<Rgb24>(content, 3, 8),
                (4, 8) => Load<Rgba32>(content, 4, 8),
                (1, 16) => Load<L16>(content, 1, 16),
                (2, 16) => Load<La32>(content, 2, 16),
                (3, 16) => Load<Rgb48>(content, 3, 16),
                (4, 16) => Load<Rgba64>(content, 4, 16),
                _ => throw new InvalidOperationException($"no pixels of {channels} channels of {bits} bits"),
            };
        }
        // A damaged file makes the library throw much else than its own exceptions: indices out of range, overflows, division by zero.
        catch (Exception exception) when (exception is not (FileFormatException or OutOfMemoryException))
        {
            throw file.Error($"the picture is damaged, or of a kind that is not supported ({exception.Message}); fetch it again, or "
                + "convert it to PNG",
                exception);
        }
    }

    /// <summary>
    /// Decodes WebP, BMP or TGA. The library takes what a cut file lacks for black: so a RIFF container must have its length, and a picture
    /// of the other two must not depend on what follows the file.
    /// </summary>
    /// <inheritdoc cref="Decode"/>
    public static (Image Picture, int Orientation) DecodeWhole(FileContent file, byte[] content)
    {
        if (content.AsSpan().StartsWith("RIFF"u8))
        {
            CheckChunks(file, content);
            return Decode(file, content);
        }
        (Image Picture, int Orientation) decoded = Decode(file, content);
        byte[] padding = new byte[4096 + 4 * decoded.Picture.Width * decoded.Picture.Height];
        padding.AsSpan().Fill(0xa5);
        if (Decode(file, [.. content, .. padding]).Picture.Samples.AsSpan().SequenceEqual(decoded.Picture.Samples)) return decoded;
        throw file.Error("the file ends before its picture does; it is truncated, fetch it again");
    }

    /// <summary>The error for a picture with too many pixels, before memory is taken for them.</summary>
    /// <exception cref="FileFormatException">It is too large, or empty.</exception>
    public static void CheckSize(FileContent file, long width, long height, int channels)
    {
        if (!Image.Fits(width, height, channels))
        {
            throw file.Error($"the picture has {width} x {height} pixels; at most {Image.MaxSide} a side and {Image.MaxSamples} samples "
                + "are read");
        }
    }

    // The library takes memory for a chunk before it looks whether the file has it.
    private static void CheckChunks(FileContent file, ReadOnlySpan<byte> riff)
    {
        long end = riff.Length < 8 ? 0 : 8L + BinaryPrimitives.ReadUInt32LittleEndian(riff[4..]);
        for (long at = 12; end <= riff.Length && at + 8 <= end;)
        {
            uint size = BinaryPrimitives.ReadUInt32LittleEndian(riff[(int)(at + 4)..]);
            at += 8L + size;
            if (at > riff.Length) end = at;
            at += size & 1;
        }
        if (end > riff.Length)
            throw file.Error($"the WebP file should have {end} bytes, found {riff.Length}; it is truncated or damaged, fetch it again");
    }

    private static void CheckDensity(FileContent file, byte[] content, int width, int height)
    {
        long pixels = (long)width * height;
        bool webp = content.AsSpan().StartsWith("RIFF"u8);
        if (pixels <= (webp ? MinWebpPixels + content.LongLength * MaxWebpPixelsPerByte
            : MinPixels + content.LongLength * MaxPixelsPerByte))
        {
            return;
        }
        throw file.Error(webp ? $"a WebP file of {content.Length} bytes with {width} x {height} pixels is taken for a hostile one; "
            + "convert it to PNG"
            : $"{content.Length} bytes cannot hold {width} x {height} pixels; the file is truncated or damaged");
    }

    /// <summary>Writes PNG, 8 or 16 bits, gray to RGBA, with nothing in it that depends on time or machine.</summary>
    public static void EncodePng(Stream stream, Image image)
    {
        switch (image.Channels, image.BitDepth)
        {
            case (1, 8): Save<L8>(stream, image, PngColorType.Grayscale); break;
            case (2, 8): Save<La16>(stream, image, PngColorType.GrayscaleWithAlpha); break;
            case (3, 8): Save<Rgb24>(stream, image, PngColorType.Rgb); break;
            case (4, 8): Save<Rgba32>(stream, image, PngColorType.RgbWithAlpha); break;
            case (1, 16): Save<L16>(stream, image, PngColorType.Grayscale); break;
            case (2, 16): Save<La32>(stream, image, PngColorType.GrayscaleWithAlpha); break;
            case (3, 16): Save<Rgb48>(stream, image, PngColorType.Rgb); break;
            default: Save<Rgba64>(stream, image, PngColorType.RgbWithAlpha); break;
        }
    }

    private static (Image Picture, int Orientation) Load<TPixel>(byte[] content, int channels, int bits)
        where TPixel : unmanaged, IPixel<TPixel>
    {
        using var decoded = Pixels.Load<TPixel>(Formats, new MemoryStream(content, writable: false));
        byte[] samples = new byte[decoded.Width * decoded.Height * channels * (bits / 8)];
        decoded.CopyPixelDataTo(samples);
        return (new Image(decoded.Width, decoded.Height, channels, bits, samples),
            decoded.Metadata.ExifProfile?.GetValue(ExifTag.Orientation)?.Value ?? 1);
    }

    private static void Save<TPixel>(Stream stream, Image image, PngColorType colour) where TPixel : unmanaged, IPixel<TPixel>
    {
        using var pixels = Pixels.LoadPixelData<TPixel>(Formats, image.Samples, image.Width, image.Height);
        pixels.Save(stream, new PngEncoder
        {
            ColorType = colour,
            BitDepth = image.BitDepth == 16 ? PngBitDepth.Bit16 : PngBitDepth.Bit8,
            CompressionLevel = PngCompressionLevel.BestCompression,
            FilterMethod = PngFilterMethod.Adaptive,
            ChunkFilter = PngChunkFilter.ExcludeAll,
            TransparentColorMode = PngTransparentColorMode.Preserve,
        });
    }

    private static FileFormatException Unknown(FileContent file, ReadOnlySpan<byte> content)
    {
        string? refused = content.StartsWith("GIF8"u8) ? "GIF"
            : content.StartsWith((ReadOnlySpan<byte>)[0x49, 0x49, 0x2a, 0]) || content.StartsWith((ReadOnlySpan<byte>)[0x4d, 0x4d, 0, 0x2a])
            ? "TIFF" : null;
        return refused is null
            ? file.Error($"expected a PNG, JPEG, WebP, BMP, TGA or PNM picture, but the file starts with {Checkpoint.FirstBytes(file)}")
            : file.Error($"{refused} pictures are not read, because decoders of this format have had faults that hostile files use; "
            + "convert it to PNG");
    }
}
