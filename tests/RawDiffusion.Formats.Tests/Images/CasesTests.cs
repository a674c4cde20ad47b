using System.Buffers.Binary;
using System.Text.Json;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests.Images;

/// <summary>
/// One small picture in the forms that people's programs write, against what Pillow 11 decodes (EXIF orientation applied, alpha left out).
/// <c>pictures/expected.json</c> has shape [H, W, 3], values, the largest difference allowed, and the full scale (65535 for 16 bits, else
/// 255).
/// </summary>
public sealed class CasesTests
{
    private static readonly string Folder = Files.Golden("pictures");

    private static readonly Dictionary<string, JsonElement> Expected =
        JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(File.ReadAllText(Path.Combine(Folder, "expected.json")))!;

    private static IEnumerable<string> Names(bool good) => Expected.Where(e => e.Value.TryGetProperty("error", out _) != good)
        .Select(e => e.Key);

    private static readonly string[] Good = [.. Names(true)], Bad = [.. Names(false)];

    [Test]
    public void Every_file_is_expected() =>
        Assert.That(Directory.GetFiles(Folder).Select(Path.GetFileName), Is.EquivalentTo(Expected.Keys.Append("expected.json")));

    [TestCaseSource(nameof(Good))]
    public void Is_read_as_other_programs_read_it(string name)
    {
        JsonElement expected = Expected[name];
        int[] shape = [.. expected.GetProperty("shape").EnumerateArray().Select(n => n.GetInt32())];
        double scale = expected.TryGetProperty("scale", out JsonElement s) ? s.GetDouble()
            : 255, tolerance = expected.GetProperty("tolerance").GetDouble();
        Image found = ImageFile.Read(Path.Combine(Folder, name));
        Assert.That((found.Height, found.Width), Is.EqualTo((shape[0], shape[1])));
        Assert.That(found.BitDepth, Is.EqualTo(scale > 255 ? 16 : 8));
        float[] rgb = ImageResize.Resize(found, found.Width, found.Height);
        double worst = expected.GetProperty("rgb").EnumerateArray().Select((v, i) => Math.Abs(rgb[i] * scale - v.GetDouble())).Max();
        Assert.That(worst, Is.LessThanOrEqualTo(tolerance + 0.01));
    }

    [TestCaseSource(nameof(Bad))]
    public void Is_refused_with_one_line(string name)
    {
        string message = Assert.Throws<FileFormatException>(() => ImageFile.Read(Path.Combine(Folder, name)))!.Message;
        Assert.That(message, Does.StartWith($"{name}: ").And.Not.Contain("\n"));
    }

    [TestCase("lzw.tif", "TIFF")]
    [TestCase("frames.gif", "GIF")]
    public void Formats_with_unsafe_decoders_are_refused_by_name(string name, string format) =>
        Assert.That(() => ImageFile.Read(Path.Combine(Folder, name)),
            Throws.TypeOf<FileFormatException>().With.Message.Contains($"{format} pictures are not read").And.Message.Contains(
            "convert it to PNG"));

    [Test]
    public void A_webp_of_a_few_bytes_with_a_huge_size_is_refused_before_memory_is_taken()
    {
        byte[] webp = File.ReadAllBytes(Path.Combine(Folder, "lossless.webp"));
        // Width and height less one, 14 bits each, follow the signature 0x2f.
        BinaryPrimitives.WriteUInt32LittleEndian(webp.AsSpan(21), 16000 | 16000 << 14 | webp[24] & 0xf0000000);
        string path = Files.Write("x.webp", webp);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.That(Assert.Throws<FileFormatException>(() => ImageFile.Read(path))!.Message, Does.Contain("16001 x 16001"));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
    }

    [Test]
    public void Orientation_can_be_left_as_stored()
    {
        string path = Path.Combine(Folder, "exif6.jpg");
        Image upright = ImageFile.Read(path), raw = ImageFile.Read(path, ImageOrientation.Raw);
        Assert.That((raw.Width, raw.Height), Is.EqualTo((upright.Height, upright.Width)));
        // Orientation 6: the camera's right side is the picture's bottom.
        for (int y = 0; y < raw.Height; y++)
        {
            for (int x = 0; x < raw.Width; x++)
            {
                int stored = (y * raw.Width + x) * 3, turned = (x * upright.Width + upright.Width - 1 - y) * 3;
                Assert.That(raw.Samples[stored..(stored + 3)], Is.EqualTo(upright.Samples[turned..(turned + 3)]), $"({x}, {y})");
            }
        }
    }
}
