using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests.Images;

public sealed class PngTests
{
    private static Image Read(byte[] png) => ImageFile.Read(Files.Write("x.png", png));

    private static string ErrorOf(byte[] png)
    {
        string message = Assert.Throws<FileFormatException>(() => Read(png))!.Message;
        Assert.That(message, Does.StartWith("x.png: ").And.Not.Contain("\n"));
        return message;
    }

    private static int[] Samples(int count, int depth, int seed = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(1 << depth))];
    }

    [Test]
    public void Every_kind_is_read(
        [Values(0, 2, 4, 6)] int colour, [Values(1, 2, 4, 8, 16)] int depth, [Values] bool interlaced, [Values(1, 2, 5, 9, 17)] int width,
            [Values(1, 3, 8, 13)] int height)
    {
        if (colour != 0 && depth < 8) return;
        int channels = colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };
        int[] samples = Samples(width * height * channels, depth);
        Image found = Read(PngEncoder.Encode(width, height, depth, colour, interlaced, samples));
        Assert.That((found.Width, found.Height, found.Channels, found.BitDepth),
            Is.EqualTo((width, height, channels, depth == 16 ? 16 : 8)));
        byte[] expected = depth == 16
            ? [.. samples.SelectMany(s => new[] { (byte)s, (byte)(s >> 8) })]
            : [.. samples.Select(s => (byte)(s * 255 / ((1 << depth) - 1)))];
        Assert.That(found.Samples, Is.EqualTo(expected));
    }

    [Test]
    public void Palettes_become_RGB_or_RGBA([Values(1, 2, 4, 8)] int depth, [Values] bool interlaced, [Values] bool transparent)
    {
        int colours = 1 << depth;
        int[] samples = Samples(7 * 11, depth);
        byte[] palette = [.. Enumerable.Range(0, 3 * colours).Select(i => (byte)(i * 7))];
        byte[] alpha = [10, 20];
        byte[][] chunks = [PngEncoder.Chunk("PLTE"u8, palette), .. transparent ? [PngEncoder.Chunk("tRNS"u8, alpha)]
            : Array.Empty<byte[]>()];
        Image found = Read(PngEncoder.Encode(7, 11, depth, 3, interlaced, samples, chunks));
        Assert.That(found.Channels, Is.EqualTo(transparent ? 4 : 3));
        Assert.That(found.Samples, Is.EqualTo(samples.SelectMany(s =>
            palette[(3 * s)..(3 * s + 3)].Concat(transparent ? [s < alpha.Length ? alpha[s] : (byte)255] : []))));
    }

    [Test]
    public void Colours_that_a_palette_lacks_are_black() =>
        Assert.That(Read(PngEncoder.Encode(2, 1, 8, 3, false, [0, 255], PngEncoder.Chunk("PLTE"u8, [1, 2, 3]))).Samples,
        Is.EqualTo(new byte[] { 1, 2, 3, 0, 0, 0 }));

    [Test]
    public void What_is_written_is_read_again()
    {
        Gen<Image> images =
            from width in Gen.Choose(1, 20)
            from height in Gen.Choose(1, 20)
            from channels in Gen.Choose(1, 4)
            from depth in Gen.Elements(8, 16)
            from samples in Gen.Choose(0, 255).Select(v => (byte)v).ArrayOf(width * height * channels * depth / 8)
            select new Image(width, height, channels, depth, samples);
        Prop.ForAll(images.ToArbitrary(), image =>
        {
            string path = Files.Temporary("written.png");
            ImageFile.WritePng(path, image);
            Image found = ImageFile.Read(path);
            Assert.That((found.Width, found.Height, found.Channels, found.BitDepth),
                Is.EqualTo((image.Width, image.Height, image.Channels, image.BitDepth)));
            Assert.That(found.Samples, Is.EqualTo(image.Samples));
        }).QuickCheckThrowOnFailure();
    }

    [Test]
    public void Filters_make_smooth_images_small()
    {
        byte[] samples = [.. Enumerable.Range(0, 256 * 256 * 3).Select(i => (byte)(i / 3 % 256 + i / 768))];
        string path = Files.Temporary("smooth.png");
        ImageFile.WritePng(path, new Image(256, 256, 3, 8, samples));
        Assert.That(new FileInfo(path).Length, Is.LessThan(samples.Length / 50));
    }

    [Test]
    public void A_file_cut_at_any_byte_is_refused()
    {
        byte[] whole = PngEncoder.Encode(9, 5, 8, 2, true, Samples(9 * 5 * 3, 8));
        for (int length = 0; length < whole.Length; length++) ErrorOf(whole[..length]);
    }

    [Test]
    public void Damage_is_noticed()
    {
        byte[] whole = PngEncoder.Encode(9, 5, 8, 0, false, Samples(9 * 5, 8));
        for (int i = 8; i < whole.Length; i++)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 0x10;
            ErrorOf(damaged);
        }
    }

    [Test]
    public void Sizes_that_the_data_cannot_hold_are_refused_before_memory_is_taken()
    {
        byte[] whole = PngEncoder.Encode(1, 1, 16, 6, false, [1, 2, 3, 4]);
        foreach ((int width, int height, string says) in new[] { (1 << 20, 200, "cannot hold"), (1 << 20, 1 << 20, "at most"),
            (0, 1, "at most"), (1, -1, "at most"), (50, 50, "cannot hold") })
        {
            BinaryPrimitives.WriteInt32BigEndian(whole.AsSpan(16), width);
            BinaryPrimitives.WriteInt32BigEndian(whole.AsSpan(20), height);
            PngEncoder.FixChecksums(whole);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.That(ErrorOf(whole), Does.Contain(says));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
        }
    }

    [Test]
    public void Too_many_samples_are_refused_though_the_data_holds_them()
    {
        // 16384 x 8193 pixels RGBA pass 2^28 samples by one row; the data is one long run of zeros.
        byte[] data = PngEncoder.Deflate(new byte[8193 * (1 + 4 * 16384)]);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, 16384);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), 16384 / 2 * 2);
        (header[8], header[9]) = (8, 6);
        byte[] png = [0x89, .. "PNG\r\n\u001a\n"u8, .. PngEncoder.Chunk("IHDR"u8, header), .. PngEncoder.Chunk("IDAT"u8, data),
            .. PngEncoder.Chunk("IDAT"u8, data), .. PngEncoder.Chunk("IEND"u8, [])];
        Assert.That(ErrorOf(png), Does.Contain("268435456 samples"));
    }

    [Test]
    public void Wrong_chunks_are_refused()
    {
        byte[] Of(int depth, int colour, params byte[][] chunks) => PngEncoder.Encode(1, 1, depth, colour, false, Samples(4, 1, 3), chunks);
        Assert.That(ErrorOf(Of(8, 3)), Does.Contain("no palette"));
        Assert.That(ErrorOf(Of(8, 3, PngEncoder.Chunk("PLTE"u8, [1, 2]))), Does.Contain("2 bytes"));
        Assert.That(ErrorOf(Of(8, 0, PngEncoder.Chunk("NEWS"u8, []))), Does.Contain("'NEWS'"));
        Assert.That(ErrorOf(Of(8, 0, PngEncoder.Chunk("IHDR"u8, new byte[13]))), Does.Contain("have no other"));
        Assert.That(ErrorOf(Of(8, 0, PngEncoder.Chunk("IDAT"u8, [1]), PngEncoder.Chunk("tIME"u8, []))), Does.Contain("not consecutive"));
        Assert.That(ErrorOf(Of(3, 0)), Does.Contain("3 bits"));
        Assert.That(ErrorOf(Of(4, 2)), Does.Contain("colour type 2 with 4 bits"));
        Assert.That(ErrorOf([0x89, .. "PNG\r\n\u001a\n"u8, .. PngEncoder.Chunk("IEND"u8, [])]), Does.Contain("begin with an IHDR"));
    }

    [Test]
    public void Images_check_their_numbers()
    {
        Assert.Throws<ArgumentException>(() => _ = new Image(0, 1, 1, 8, []));
        Assert.Throws<ArgumentException>(() => _ = new Image(1, 1, 5, 8, new byte[5]));
        Assert.Throws<ArgumentException>(() => _ = new Image(1, 1, 1, 4, [1]));
        Assert.Throws<ArgumentException>(() => _ = new Image(1, 1, 1, 16, [1]));
        var image = new Image(2, 2, 1, 8, [1, 2, 3, 4]);
        Assert.That(image.Crop(1, 0, 1, 2).Samples, Is.EqualTo(new byte[] { 2, 4 }));
        Assert.Throws<ArgumentException>(() => image.Crop(1, 0, 2, 1));
        Assert.Throws<ArgumentException>(() => image.Crop(-1, 0, 1, 1));
        Assert.Throws<ArgumentException>(() => image.Crop(0, 0, 1, int.MaxValue));
        Assert.Throws<ArgumentException>(() => ImageResize.Resize(image, 0, 1));
        Assert.Throws<ArgumentException>(() => ImageConvert.FromChw(new float[3], 1, 2, 2));
    }
}
