using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests.Images;

public sealed class ImageResizeTests
{
    private static IEnumerable<TestCaseData> Goldens()
    {
        using TensorFile goldens = SafeTensors.Open(Files.Golden("images.safetensors"));
        return [.. goldens.Names.Select(name => new TestCaseData(name))];
    }

    [TestCaseSource(nameof(Goldens))]
    public void Equals_skimage(string golden)
    {
        using TensorFile goldens = SafeTensors.Open(Files.Golden("images.safetensors"));
        float[] expected = goldens[golden].ToSingles();
        string[] parts = golden.Split('/');
        int size = int.Parse(parts[1]);
        Image image = ImageFile.Read(Files.Golden($"images/{parts[0]}.png"));
        if (parts[0].Contains("kitti")) image = image.Crop(433, 0, 808 - 433, image.Height);

        float[] found = ImageResize.Resize(image, size, size);

        Assert.That(goldens[golden].Shape, Is.EqualTo(new[] { size, size, 3 }));
        Assert.That(found, Is.EqualTo(expected).Within(1e-6f));
        Assert.That(found, Has.None.NaN);
    }

    [Test]
    public void The_same_size_only_converts()
    {
        byte[] samples = [.. Enumerable.Range(0, 2 * 3 * 4).Select(i => (byte)(11 * i))];
        float[] found = ImageResize.Resize(new Image(3, 2, 4, 8, samples), 3, 2);
        float[] expected = [.. samples.Where((_, i) => i % 4 != 3).Select(s => (float)(s / 255.0))];
        Assert.That(found, Is.EqualTo(expected));
    }

    [Test]
    public void Sixteen_bits_are_divided_by_65535_and_gray_is_repeated()
    {
        float[] found = ImageResize.Resize(new Image(1, 1, 1, 16, [0x34, 0x12]), 2, 2);
        Assert.That(found, Is.EqualTo(Enumerable.Repeat(0x1234 / 65535f, 12)));
    }

    [TestCase(20000, 1)]
    [TestCase(1, 20000)]
    [TestCase(1, 1)]
    public void Extreme_shapes_keep_a_constant_colour(int width, int height)
    {
        byte[] samples = new byte[width * height * 3];
        samples.AsSpan().Fill(51);
        Assert.That(ImageResize.Resize(new Image(width, height, 3, 8, samples), 64, 64), Is.All.EqualTo(0.2f));
    }

    [Test]
    public void A_longest_possible_row_takes_little_time()
    {
        var image = new Image(Image.MaxSide, 1, 1, 8, new byte[Image.MaxSide]);
        Assert.That(ImageResize.Resize(image, 8, 8), Is.All.EqualTo(0f));
    }

    [Test]
    public void Width_and_height_are_not_confused()
    {
        float[] found = ImageResize.Resize(new Image(2, 1, 1, 8, [0, 255]), 4, 1);
        // Interpolated at -0.25, 0.25, 0.75, 1.25, the border mirrored about the pixel at the edge.
        Assert.That(found.Where((_, i) => i % 3 == 0), Is.EqualTo(new[] { 0.25f, 0.25f, 0.75f, 0.75f }));
    }

    [Test]
    public void Chw_planes_and_quantisation_make_the_image_that_save_image_writes()
    {
        using TensorFile goldens = SafeTensors.Open(Files.Golden("A.safetensors"));
        Tensor row = goldens["official.decomposition_row"];
        Image expected = ImageFile.Read(Files.Golden("A_official_row.png"));
        float[] values = row.ToSingles();
        int size = row.Shape[2], one = 3 * size * size;
        Assert.That((expected.Width, expected.Height, expected.Channels), Is.EqualTo((row.Shape[0] * size, size, 3)));
        for (int i = 0; i < row.Shape[0]; i++)
        {
            Image found = ImageConvert.FromChw(values.AsSpan(i * one, one), 3, size, size);
            Assert.That(found.Samples, Is.EqualTo(expected.Crop(i * size, 0, size, size).Samples), $"image {i}");
        }
    }

    [Test]
    public void Quantisation_clamps_and_rounds()
    {
        float[] values = [float.NaN, float.NegativeInfinity, -1, 0, 0.5f / 255 - 1e-6f, 0.5f / 255 + 1e-6f, 1, 2, float.PositiveInfinity];
        Assert.That(ImageConvert.FromChw(values, 1, 3, 3).Samples, Is.EqualTo(new byte[] { 0, 0, 0, 0, 0, 1, 255, 255, 255 }));
    }

    [Test]
    public void Chw_is_hwc_transposed()
    {
        byte[] samples = [.. Enumerable.Range(0, 12).Select(i => (byte)i)];
        float[] found = ImageConvert.ToChw(new Image(2, 2, 3, 8, samples), 2);
        Assert.That(found.Select(v => (int)Math.Round(v * 255)), Is.EqualTo(new[] { 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11 }));
    }
}
