using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Tests.Data;

public sealed class ImageCropTests
{
    [Test]
    public void Its_text_is_read_back()
    {
        var crop = new ImageCrop(433, 0, 375, 0);
        Assert.That(crop.ToString(), Is.EqualTo("433,0,375,0"));
        Assert.That(ImageCrop.Parse("433,0,375,0"), Is.EqualTo(crop));
    }

    [TestCase("")]
    [TestCase("1,2,3")]
    [TestCase("1,2,3,4,5")]
    [TestCase("1,2,3,")]
    [TestCase("-1,2,3,4")]
    [TestCase("1,2,3,4.5")]
    [TestCase("1,2,3,99999999999")]
    public void Other_text_is_refused(string text) =>
        Assert.That(() => ImageCrop.Parse(text), Throws.TypeOf<FormatException>().With.Message.Contains($"found '{text}'"));

    [TestCase(0, 0, 20, 10, true)]
    [TestCase(12, 2, 0, 0, true)]
    [TestCase(12, 2, 9, 0, false)]
    [TestCase(12, 2, 0, 9, false)]
    [TestCase(20, 0, 0, 0, false)]
    [TestCase(0, 10, 0, 0, false)]
    public void It_fits_where_all_of_it_is_inside(int x, int y, int width, int height, bool fits) =>
        Assert.That(new ImageCrop(x, y, width, height).FitsIn(new Image(20, 10, 3, 8, new byte[600])), Is.EqualTo(fits));
}
