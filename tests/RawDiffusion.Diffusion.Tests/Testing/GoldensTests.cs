using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Testing;

public sealed class GoldensTests
{
    [TestCase("A")]
    [TestCase("B")]
    [TestCase("C")]
    [TestCase("tiny_cf")]
    public void Every_listed_tolerance_is_positive_and_its_tensor_exists(string config)
    {
        using TensorFile goldens = Goldens.Open(config);
        int listed = 0;
        foreach (string name in goldens.Names)
        {
            Tolerance tolerance;
            try
            {
                tolerance = Goldens.ToleranceOf(config, name);
            }
            catch (KeyNotFoundException)
            {
                continue;
            }
            listed++;
            Assert.That(tolerance.At(0, 0), Is.InRange(1e-7, 2e-2), name);
        }
        Assert.That(listed, Is.GreaterThan(20));
    }

    [Test]
    public void What_is_not_there_is_named()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => Goldens.PathOf("nothing.pt"), Throws.TypeOf<FileNotFoundException>().With.Message.Contains("nothing.pt"));
            Assert.That(() => Goldens.ToleranceOf("A", "x_start"), Throws.TypeOf<KeyNotFoundException>().With.Message.Contains("x_start"));
            Assert.That(Goldens.ToleranceOf("C", "ddim.comp2.final"), Is.EqualTo(Tolerance.Absolute(1e-3)));
        }
    }
}
