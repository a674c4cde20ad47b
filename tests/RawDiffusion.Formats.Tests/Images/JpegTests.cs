using System.Buffers.Binary;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests.Images;

public sealed class JpegTests
{
    private const int Width = 16, Height = 8;

    /// <summary>Pixel (x, y) was (40 + 12 x, 200 - 20 y, 90), and 40 + 12 x in gray; quality 90.</summary>
    private const string Colour =
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBD" +
        "AQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAARCAAIABADASIAAhEBAxEB/8QAHwAAAQUB" +
        "AQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJico" +
        "KSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ" +
        "2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMi" +
        "MoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOk" +
        "paanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDkvDvxs+7/AKR+temeHvjZ93/SP1oorxMyyfB6" +
        "+6fVcEZBgPd9w//Z";

    private const string Gray =
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/wAAL" +
        "CAAIABABAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS" +
        "0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5" +
        "usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APBPgh/yw/Cv0A+CH/LD8K//2Q==";

    private const string Progressive =
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBD" +
        "AQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wgARCAAIABADAREAAhEBAxEB/8QAFQABAQAA" +
        "AAAAAAAAAAAAAAAABQb/xAAVAQEBAAAAAAAAAAAAAAAAAAAFB//aAAwDAQACEAMQAAABIPDpiaB//8QAFhAAAwAAAAAAAAAAAAAAAAAAAAQF/9oACAEBAAEFAl7Y" +
        "vbP/xAAXEQADAQAAAAAAAAAAAAAAAAAABAVh/9oACAEDAQE/AUZmCMzD/8QAFhEAAwAAAAAAAAAAAAAAAAAAAAME/9oACAECAQE/AWQDID//xAAVEAEBAAAAAAAA" +
        "AAAAAAAAAAAAMv/aAAgBAQAGPwKlP//EABUQAQEAAAAAAAAAAAAAAAAAAAAx/9oACAEBAAE/IZED/9oADAMBAAIAAwAAABC//8QAFREBAQAAAAAAAAAAAAAAAAAA" +
        "ADH/2gAIAQMBAT8QiRP/xAAWEQADAAAAAAAAAAAAAAAAAAAAITH/2gAIAQIBAT8QsiyP/8QAFRABAQAAAAAAAAAAAAAAAAAAAPH/2gAIAQEAAT8QoLD/2Q==";

    internal static byte[] Bytes(string kind) =>
        Convert.FromBase64String(kind switch { nameof(Colour) => Colour, nameof(Gray) => Gray, _ => Progressive });

    [TestCase(nameof(Colour), 3, 20)]
    [TestCase(nameof(Gray), 1, 4)]
    [TestCase(nameof(Progressive), 3, 8)]
    public void Colours_are_near_those_that_were_written(string kind, int channels, int tolerance)
    {
        Image found = ImageFile.Read(Files.Write("x.jpg", Bytes(kind)));
        Assert.That((found.Width, found.Height, found.Channels, found.BitDepth), Is.EqualTo((Width, Height, channels, 8)));
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                int[] expected = [40 + 12 * x, 200 - 20 * y, 90];
                for (int c = 0; c < channels; c++)
                {
                    Assert.That(found.Samples[(y * Width + x) * channels + c], Is.EqualTo(expected[c]).Within(tolerance),
                        $"({x}, {y}) channel {c}");
                }
            }
        }
    }

    [TestCase(nameof(Colour))]
    [TestCase(nameof(Gray))]
    [TestCase(nameof(Progressive))]
    public void A_file_cut_at_any_byte_is_refused(string kind)
    {
        byte[] whole = Bytes(kind);
        // The last two bytes only mark the end; a decoder that has all blocks may do without them.
        for (int length = 0; length < whole.Length - 2; length++)
        {
            string path = Files.Write("x.jpg", whole[..length]);
            Assert.That(Assert.Throws<FileFormatException>(() => ImageFile.Read(path), $"{length} bytes")!.Message,
                Does.StartWith("x.jpg: ").And.Not.Contain("\n"));
        }
    }

    [Test]
    public void Stray_bytes_before_a_marker_are_passed_over()
    {
        byte[] whole = Bytes(nameof(Gray));
        byte[] stray = [.. whole[..20], 1, 2, 3, .. whole[20..]];
        Assert.That(ImageFile.Read(Files.Write("x.jpg", whole)).Samples, Is.EqualTo(ImageFile.Read(Files.Write("y.jpg", stray)).Samples));
    }

    [Test]
    public void A_size_that_the_data_cannot_hold_is_refused_before_memory_is_taken()
    {
        byte[] jpeg = Bytes(nameof(Gray));
        int frame = jpeg.AsSpan().IndexOf([(byte)0xff, (byte)0xc0]);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 5), 20000);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 7), 4000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        string path = Files.Write("x.jpg", jpeg);
        Assert.That(Assert.Throws<FileFormatException>(() => ImageFile.Read(path))!.Message, Does.Contain("cannot hold 4000 x 20000"));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
    }
}
