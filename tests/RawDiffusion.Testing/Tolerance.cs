namespace RawDiffusion.Testing;

/// <summary>
/// How far a found value may be from the expected one: <c>Fixed + OfElement * |expected| + OfMax * max|expected|</c>.
/// </summary>
/// <param name="Fixed">The part that is the same for every element.</param>
/// <param name="OfElement">The part relative to the element itself.</param>
/// <param name="OfMax">The part relative to the largest element of the expected tensor.</param>
public readonly record struct Tolerance(double Fixed, double OfElement, double OfMax)
{
    /// <summary>Equal values only; the two zeros are equal.</summary>
    public static Tolerance Exact => default;

    /// <summary>The same for every element.</summary>
    public static Tolerance Absolute(double value) => new(value, 0, 0);

    /// <summary>Relative to each element.</summary>
    public static Tolerance Relative(double value) => new(0, value, 0);

    /// <summary>Relative to the largest absolute value of the expected tensor.</summary>
    public static Tolerance RelativeToMax(double value) => new(0, 0, value);

    /// <summary>What is allowed at one element.</summary>
    /// <param name="expected">The element's expected value.</param>
    /// <param name="largest">The largest absolute expected value of the tensor.</param>
    public double At(double expected, double largest) => Fixed + OfElement * Math.Abs(expected) + OfMax * largest;
}
