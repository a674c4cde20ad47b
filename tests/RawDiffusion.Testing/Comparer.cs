using RawDiffusion.Formats;

namespace RawDiffusion.Testing;

/// <summary>A found tensor is not the expected one. The message names the tensor and its worst element.</summary>
public sealed class ComparisonException(string message) : Exception(message);

/// <summary>
/// The one comparer of the tests. Shape first, then finiteness of every element, and only then the difference: a NaN
/// compares false with everything and would pass a test of the form "no difference exceeds the tolerance".
/// </summary>
public static class Comparer
{
    /// <summary>Requires that a tensor is the expected one, up to a tolerance.</summary>
    /// <param name="what">The tensor's name, for the message.</param>
    /// <param name="expected">What it should be.</param>
    /// <param name="foundShape">The shape that it has.</param>
    /// <param name="found">Its elements, row-major.</param>
    /// <param name="tolerance">How far an element may be off.</param>
    /// <exception cref="ComparisonException">It is not.</exception>
    public static void RequireClose(
        string what, Tensor expected, IReadOnlyList<int> foundShape, ReadOnlySpan<float> found, Tolerance tolerance) =>
        RequireClose(what, expected.Shape, expected.ToDoubles(), foundShape, Widened(found), tolerance);

    /// <summary>Requires that float32 values are the expected ones, up to a tolerance.</summary>
    /// <inheritdoc
    /// cref="RequireClose(string, IReadOnlyList{int}, ReadOnlySpan{double}, IReadOnlyList{int}, ReadOnlySpan{double}, Tolerance)"/>
    public static void RequireClose(
        string what,
        IReadOnlyList<int> expectedShape,
        ReadOnlySpan<float> expected,
        IReadOnlyList<int> foundShape,
        ReadOnlySpan<float> found,
        Tolerance tolerance) =>
        RequireClose(what, expectedShape, Widened(expected), foundShape, Widened(found), tolerance);

    /// <summary>Requires that a list of numbers is the expected one, up to a tolerance.</summary>
    /// <param name="what">The list's name, for the message.</param>
    /// <param name="expected">The expected values.</param>
    /// <param name="found">The found values.</param>
    /// <param name="tolerance">How far an element may be off.</param>
    /// <exception cref="ComparisonException">It is not.</exception>
    public static void RequireClose(string what, IReadOnlyList<double> expected, IReadOnlyList<double> found, Tolerance tolerance) =>
        RequireClose(what, [expected.Count], [.. expected], [found.Count], [.. found], tolerance);

    /// <summary>Requires that values are the expected ones, up to a tolerance.</summary>
    /// <param name="what">The tensor's name, for the message.</param>
    /// <param name="expectedShape">The shape that it should have.</param>
    /// <param name="expected">The expected elements, row-major.</param>
    /// <param name="foundShape">The shape that it has.</param>
    /// <param name="found">The found elements, row-major.</param>
    /// <param name="tolerance">How far an element may be off.</param>
    /// <exception cref="ComparisonException">It is not.</exception>
    public static void RequireClose(
        string what,
        IReadOnlyList<int> expectedShape,
        ReadOnlySpan<double> expected,
        IReadOnlyList<int> foundShape,
        ReadOnlySpan<double> found,
        Tolerance tolerance)
    {
        if (!expectedShape.SequenceEqual(foundShape))
            throw new ComparisonException($"{what}: expected shape {Text(expectedShape)}, found {Text(foundShape)}");
        long count = expectedShape.Aggregate(1L, (product, dimension) => product * dimension);
        if (expected.Length != count || found.Length != count)
        {
            throw new ComparisonException(
                $"{what}: shape {Text(expectedShape)} has {count} elements, expected holds {expected.Length} and found {found.Length}");
        }
        RequireFinite($"{what} (expected)", expectedShape, expected);
        RequireFinite(what, foundShape, found);

        double largest = 0;
        foreach (double value in expected) largest = Math.Max(largest, Math.Abs(value));
        int failures = 0;
        int worst = 0;
        double worstExcess = double.NegativeInfinity;
        for (int i = 0; i < expected.Length; i++)
        {
            double excess = Math.Abs(found[i] - expected[i]) - tolerance.At(expected[i], largest);
            // Not "excess > 0": a tolerance that is NaN must fail too.
            if (!(excess <= 0)) failures++;
            if (excess > worstExcess || double.IsNaN(excess)) (worst, worstExcess) = (i, excess);
        }
        if (failures == 0) return;
        throw new ComparisonException(
            $"{what}: {failures} of {count} elements are off; worst at {Index(expectedShape, worst)}: expected " +
            $"{expected[worst]:R}, found {found[worst]:R}, difference {Math.Abs(found[worst] - expected[worst]):G3}, " +
            $"tolerance {tolerance.At(expected[worst], largest):G3}");
    }

    /// <summary>Requires that every element is a finite number.</summary>
    /// <param name="what">The tensor's name, for the message.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="values">Its elements, row-major.</param>
    /// <exception cref="ComparisonException">One is not; the message says where the first is and how many there are.</exception>
    public static void RequireFinite(string what, IReadOnlyList<int> shape, ReadOnlySpan<double> values)
    {
        int count = 0;
        int first = -1;
        for (int i = 0; i < values.Length; i++)
        {
            if (double.IsFinite(values[i])) continue;
            if (count++ == 0) first = i;
        }
        if (count == 0) return;
        throw new ComparisonException(
            $"{what}: {count} of {values.Length} elements are not finite; first at {Index(shape, first)}: {values[first]}");
    }

    private static double[] Widened(ReadOnlySpan<float> values)
    {
        double[] widened = new double[values.Length];
        for (int i = 0; i < widened.Length; i++) widened[i] = values[i];
        return widened;
    }

    private static string Text(IReadOnlyList<int> shape) => $"[{string.Join(", ", shape)}]";

    private static string Index(IReadOnlyList<int> shape, int flat)
    {
        int[] index = new int[shape.Count];
        for (int axis = shape.Count - 1; axis >= 0; axis--) (flat, index[axis]) = Math.DivRem(flat, shape[axis]);
        return Text(index);
    }
}
