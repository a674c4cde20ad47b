using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class AttributeMetricsTests
{
    [Test]
    public void Values_are_those_of_the_definitions()
    {
        double[,] v = Matrix(300, i => Drawn.Uniform("v0", i), i => (int)(4 * Drawn.Uniform("v1", i)));
        double[,] z = Matrix(300,
            i => 0.7 * v[i, 0] - 0.2 * v[i, 1] + 0.3 * Drawn.Uniform("z0", i), i => Drawn.Uniform("z1", i), i => v[i, 1] * v[i, 1]
            + Drawn.Uniform("z2", i));
        // tools/evaluation_goldens.py
        Assert.That(AttributeMetrics.Mig(z, v), Is.EqualTo(0.385563021774).Within(1e-11));
        Assert.That(AttributeMetrics.Mcc(z, v), Is.EqualTo(0.814459210792).Within(1e-11));
    }

    [Test]
    public void One_dimension_for_each_attribute_is_perfect_in_any_order_and_sign()
    {
        double[,] v = Matrix(400, i => i % 20, i => i / 20), z = Matrix(400, i => 5 - 3 * (i / 20), i => 7 * (i % 20) + 1);
        Assert.That(AttributeMetrics.Mig(z, v), Is.EqualTo(1).Within(1e-12));
        Assert.That(AttributeMetrics.Mcc(z, v), Is.EqualTo(1).Within(1e-12));
    }

    [Test]
    public void Two_dimensions_that_tell_the_same_leave_no_gap()
    {
        double[,] v = Matrix(100, i => i % 5), z = Matrix(100, i => i % 5, i => -(i % 5));
        Assert.That(AttributeMetrics.Mig(z, v), Is.Zero.Within(1e-12));
        Assert.That(AttributeMetrics.Mcc(z, v), Is.EqualTo(1).Within(1e-12));
    }

    [Test]
    public void A_dimension_serves_one_attribute()
    {
        double[,] v = Matrix(100, i => i % 5, i => 2 * (i % 5)), z = Matrix(100, i => i % 5);
        Assert.That(AttributeMetrics.Mcc(z, v), Is.EqualTo(0.5).Within(1e-12));
        Assert.That(AttributeMetrics.Mig(z, v), Is.EqualTo(1).Within(1e-12), "the second dimension is none");
    }

    [Test]
    public void Constant_latents_tell_nothing()
    {
        double[,] v = Matrix(50, i => i), z = Matrix(50, _ => 0.1, _ => 1e30);
        Assert.That(AttributeMetrics.Mig(z, v), Is.Zero);
        Assert.That(AttributeMetrics.Mcc(z, v), Is.Zero);
    }

    [Test]
    public void Constant_attributes_do_not_count()
    {
        double[,] z = Matrix(40, i => i % 4);
        Assert.That(AttributeMetrics.Mig(z, Matrix(40, _ => 3, i => i % 4)), Is.EqualTo(1).Within(1e-12));
        Assert.That(AttributeMetrics.Mcc(z, Matrix(40, _ => 3, i => i % 4)), Is.EqualTo(1).Within(1e-12));
        Assert.That(AttributeMetrics.Mig(z, Matrix(40, _ => 3)), Is.NaN);
        Assert.That(AttributeMetrics.Mcc(z, Matrix(40, _ => 3)), Is.NaN);
    }

    [TestCase(0)]
    [TestCase(1)]
    public void Too_few_samples_have_no_value(int samples)
    {
        Assert.That(AttributeMetrics.Mig(new double[samples, 2], new double[samples, 3]), Is.NaN);
        Assert.That(AttributeMetrics.Mcc(new double[samples, 2], new double[samples, 3]), Is.NaN);
    }

    [TestCase(double.NaN)]
    [TestCase(double.NegativeInfinity)]
    public void What_is_not_finite_has_no_value(double bad)
    {
        double[,] good = Matrix(30, i => i), broken = Matrix(30, i => i == 7 ? bad : i);
        Assert.That(new[] { AttributeMetrics.Mig(broken, good), AttributeMetrics.Mig(good, broken), AttributeMetrics.Mcc(broken, good),
            AttributeMetrics.Mcc(good, broken) }, Is.All.NaN);
    }

    [Test]
    public void Samples_must_correspond() =>
        Assert.That(() => AttributeMetrics.Mig(new double[3, 1], new double[4, 1]),
        Throws.ArgumentException.With.Message.Contains("3 latents and 4"));

    private static double[,] Matrix(int rows, params Func<int, double>[] columns)
    {
        double[,] m = new double[rows, columns.Length];
        for (int i = 0; i < rows; i++) for (int j = 0; j < columns.Length; j++) m[i, j] = columns[j](i);
        return m;
    }
}
