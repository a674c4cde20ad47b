using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests.Images;

public sealed class PnmTests
{
    private static Image Read(string latin1) => ImageFile.Read(Files.Write("x.ppm", PickleBuilder.Bytes(latin1)));

    private static string ErrorOf(string latin1)
    {
        string message = Assert.Throws<FileFormatException>(() => Read(latin1))!.Message;
        Assert.That(message, Does.StartWith("x.ppm: ").And.Not.Contain("\n"));
        return message;
    }

    [TestCase("P5 2 1 255\n\u0001\u0002", 2, 1, 1, 8, new byte[] { 1, 2 })]
    [TestCase("P5\n# made by hand\n2 # wide\n1\n65535\n\u0001\u0002\u0003\u0004", 2, 1, 1, 16, new byte[] { 2, 1, 4, 3 })]
    [TestCase("P6\t1\r\n2\v255\f\u0001\u0002\u0003\n#\u0006", 1, 2, 3, 8, new byte[] { 1, 2, 3, 10, 35, 6 })]
    [TestCase("P2 2 1 3 0 #zero\n 2", 2, 1, 1, 8, new byte[] { 0, 170 })]
    [TestCase("P3\n1 1\n1000\n1000 500 0\n", 1, 1, 3, 16, new byte[] { 255, 255, 0, 128, 0, 0 })]
    [TestCase("P5 1 1 100 \u0032", 1, 1, 1, 8, new byte[] { 128 })]
    [TestCase("P1 3 1 0 1#black\n0", 3, 1, 1, 8, new byte[] { 255, 0, 255 })]
    [TestCase("P1 3 1\n010", 3, 1, 1, 8, new byte[] { 255, 0, 255 })]
    [TestCase("P4 9 2\n\u0080\u0080\u0000\u007f", 9, 2, 1, 8,
        new byte[] { 0, 255, 255, 255, 255, 255, 255, 255, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255 })]
    [TestCase("P5 1 1 255 \u0007trailing", 1, 1, 1, 8, new byte[] { 7 })]
    public void Every_kind_is_read(string content, int width, int height, int channels, int bits, byte[] samples)
    {
        Image found = Read(content);
        Assert.That((found.Width, found.Height, found.Channels, found.BitDepth), Is.EqualTo((width, height, channels, bits)));
        Assert.That(found.Samples, Is.EqualTo(samples));
    }

    [TestCase("P5 2 1 255 \u0001", "take at least 2 bytes, 1 are left")]
    [TestCase("P2 2 2 255 1 2", "take at least 7 bytes, 4 are left")]
    [TestCase("P2 2 1 255     ", "a sample is missing")]
    [TestCase("P5 2", "height is missing")]
    [TestCase("P5 0 1 255 ", "at most")]
    [TestCase("P5 1000000 1000000 255 ", "at most")]
    [TestCase("P6 99999999999999999999 1 255 ", "at most")]
    [TestCase("P5 1000 1000 255 x", "take at least 1000000 bytes")]
    [TestCase("P5 1 1 0 x", "1 to 65535, found 0")]
    [TestCase("P5 1 1 65536 xx", "1 to 65535, found 65536")]
    [TestCase("P5 1 1 254 \u00ff", "names 254 as the largest")]
    [TestCase("P5 1 1 255", "white space")]
    [TestCase("P5 1 1 255#", "white space")]
    [TestCase("P5 x", "width is missing")]
    [TestCase("P1 3 1 01", "a bit is missing")]
    [TestCase("P1 9 1 01", "take at least 9 bytes, 3 are left")]
    [TestCase("P4 9 2 abc", "take at least 4 bytes, 3 are left")]
    [TestCase("P1 2 1 2 1", "a bit is missing")]
    [TestCase("P7 1 1 x", "expected a PNG, JPEG, WebP, BMP, TGA or PNM picture")]
    [TestCase("P6", "expected a PNG, JPEG, WebP, BMP, TGA or PNM picture")]
    [TestCase("GIF89a", "convert it to PNG")]
    [TestCase("", "it is empty")]
    public void Others_are_refused(string content, string says) => Assert.That(ErrorOf(content), Does.Contain(says));
}
