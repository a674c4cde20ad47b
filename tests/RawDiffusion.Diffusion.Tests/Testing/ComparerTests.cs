using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Testing;

/// <summary>The comparer must reject what a wrong kernel would produce.</summary>
public sealed class ComparerTests
{
    private static readonly int[] Shape = [2, 3];
    private static readonly float[] Expected = [1, -2, 3, 0, 5, -6];

    [Test]
    public void Equal_values_pass_exactly() => Assert.That(() => Require(Expected, Tolerance.Exact), Throws.Nothing);

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    [TestCase(float.NegativeInfinity)]
    public void A_value_that_is_not_finite_is_rejected_whatever_the_tolerance(float planted) =>
        Assert.That(
            () => Require(With(4, planted), Tolerance.Absolute(double.PositiveInfinity)),
            Throws.TypeOf<ComparisonException>().With.Message.Contains("1 of 6 elements are not finite; first at [1, 1]"));

    [Test]
    public void An_expected_value_that_is_not_finite_is_rejected() =>
        Assert.That(
            () => Comparer.RequireClose("y", Shape, With(0, float.NaN), Shape, With(0, float.NaN), Tolerance.Absolute(1)),
            Throws.TypeOf<ComparisonException>().With.Message.Contains("y (expected)"));

    [Test]
    public void A_wrong_shape_is_rejected_even_with_the_right_values() =>
        Assert.That(
            () => Comparer.RequireClose("y", Shape, Expected, [3, 2], Expected, Tolerance.Absolute(1)),
            Throws.TypeOf<ComparisonException>().With.Message.EqualTo("y: expected shape [2, 3], found [3, 2]"));

    [Test]
    public void Too_few_elements_are_rejected() =>
        Assert.That(
            () => Comparer.RequireClose("y", Shape, Expected, Shape, Expected.AsSpan(1), Tolerance.Absolute(1)),
            Throws.TypeOf<ComparisonException>().With.Message.Contains("has 6 elements, expected holds 6 and found 5"));

    [Test]
    public void One_wrong_element_is_rejected_with_its_index_values_and_tolerance() =>
        Assert.That(
            () => Require(With(2, 3.5f), Tolerance.Absolute(0.25)),
            Throws.TypeOf<ComparisonException>().With.Message.EqualTo(
                "y: 1 of 6 elements are off; worst at [0, 2]: expected 3, found 3.5, difference 0.5, tolerance 0.25"));

    [Test]
    public void The_worst_of_several_wrong_elements_is_reported()
    {
        float[] found = With(0, 2);
        found[5] = -9;
        Assert.That(
            () => Require(found, Tolerance.Absolute(0.5)),
            Throws.TypeOf<ComparisonException>().With.Message.Contains("2 of 6").And.Message.Contains("worst at [1, 2]"));
    }

    [Test]
    public void A_tolerance_that_is_not_a_number_is_rejected() =>
        Assert.That(() => Require(Expected, Tolerance.Absolute(double.NaN)), Throws.TypeOf<ComparisonException>());

    [Test]
    public void A_relative_tolerance_is_the_elements_own_and_one_of_the_maximum_is_the_tensors()
    {
        float[] found = With(0, 1.05f);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => Require(found, Tolerance.Relative(0.06)), Throws.Nothing);
            Assert.That(() => Require(found, Tolerance.Relative(0.04)), Throws.TypeOf<ComparisonException>());
            Assert.That(() => Require(found, Tolerance.RelativeToMax(0.01)), Throws.Nothing);
            Assert.That(() => Require(found, Tolerance.RelativeToMax(0.008)), Throws.TypeOf<ComparisonException>());
        }
    }

    [Test]
    public void A_tensor_of_a_file_is_compared_by_its_values()
    {
        var tensor = Tensor.FromSingles(Shape, Expected);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => Comparer.RequireClose("y", tensor, Shape, Expected, Tolerance.Exact), Throws.Nothing);
            Assert.That(
                () => Comparer.RequireClose("y", tensor, Shape, With(1, 2), Tolerance.Absolute(1)),
                Throws.TypeOf<ComparisonException>());
        }
    }

    private static void Require(float[] found, Tolerance tolerance) =>
        Comparer.RequireClose("y", Shape, Expected, Shape, found, tolerance);

    private static float[] With(int index, float value)
    {
        float[] values = [.. Expected];
        values[index] = value;
        return values;
    }
}
