namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>How one image's factors and objects go together.</summary>
/// <param name="FactorOf">Factor of each object; -1 where it has none: there are fewer factors than objects, or no pixel of the object is
/// seen.</param>
/// <param name="IoU">Intersection over union of each object and its factor, 0 without one; NaN where no pixel of the object is
/// seen.</param>
/// <param name="AriForeground">Adjusted Rand index over the pixels of objects; NaN where there are none.</param>
/// <param name="AriAll">Adjusted Rand index over all pixels, the background being one more segment.</param>
public sealed record MaskMatch(int[] FactorOf, double[] IoU, double AriForeground, double AriAll);

/// <summary>
/// Segmentation by factors against that of ground truth. A segmentation is a label for each pixel, <see cref="FactorMasks.Background"/> for
/// none.
/// </summary>
public static class MaskMetrics
{
    /// <summary>IoU above which an object counts as found.</summary>
    public const double FoundAbove = 0.5;

    /// <summary>Matches factors to objects so that the sum of IoU is greatest.</summary>
    /// <param name="factors">Factor of each pixel.</param>
    /// <param name="components">K, factors of an image.</param>
    /// <param name="objects">Object of each pixel.</param>
    /// <param name="objectCount">O.</param>
    /// <exception cref="ArgumentException">The segmentations differ in size, or a label is out of range.</exception>
    public static MaskMatch Match(ReadOnlySpan<int> factors, int components, ReadOnlySpan<int> objects, int objectCount)
    {
        long[,] table = Contingency(factors, components, objects, objectCount); // [O + 1, K + 1], background last
        long[] objectSize = [.. Enumerable.Range(0, objectCount).Select(o => Enumerable.Range(0, components + 1).Sum(k => table[o, k]))];
        long[] factorSize = [.. Enumerable.Range(0, components).Select(k => Enumerable.Range(0, objectCount + 1).Sum(o => table[o, k]))];
        int[] seen = [.. Enumerable.Range(0, objectCount).Where(o => objectSize[o] > 0)];
        double[,] iou = new double[seen.Length, components];
        for (int i = 0; i < seen.Length; i++)
        {
            for (int k = 0; k < components; k++)
            {
                long both = table[seen[i], k];
                iou[i, k] = (double)both / (objectSize[seen[i]] + factorSize[k] - both);
            }
        }
        int[] factorOfSeen = Assignment.Maximise(iou);
        int[] factorOf = [.. Enumerable.Repeat(-1, objectCount)];
        double[] matched = [.. Enumerable.Repeat(double.NaN, objectCount)];
        for (int i = 0; i < seen.Length; i++)
        {
            factorOf[seen[i]] = factorOfSeen[i];
            matched[seen[i]] = factorOfSeen[i] < 0 ? 0 : iou[i, factorOfSeen[i]];
        }
        return new MaskMatch(factorOf, matched, AdjustedRand(table, objectCount), AdjustedRand(table, objectCount + 1));
    }

    /// <summary>
    /// Adjusted Rand index (Hubert and Arabie 1985) of two segmentations: 1 for the same up to names, 0 on average for
    /// unrelated ones. 1 where both are trivial in the same way; NaN without a pixel.
    /// </summary>
    /// <param name="table">Pixels by segment of the first and of the second.</param>
    /// <param name="rows">Segments of the first that count; others are left out with their pixels.</param>
    public static double AdjustedRand(long[,] table, int rows)
    {
        int columns = table.GetLength(1);
        double pairs = 0, rowPairs = 0, columnPairs = 0;
        long total = 0;
        long[] columnSum = new long[columns];
        for (int i = 0; i < rows; i++)
        {
            long rowSum = 0;
            for (int j = 0; j < columns; j++)
            {
                pairs += Pairs(table[i, j]);
                rowSum += table[i, j];
                columnSum[j] += table[i, j];
            }
            rowPairs += Pairs(rowSum);
            total += rowSum;
        }
        if (total == 0) return double.NaN;
        foreach (long sum in columnSum) columnPairs += Pairs(sum);
        double greatest = (rowPairs + columnPairs) / 2;
        double expected = total > 1 ? rowPairs * columnPairs / Pairs(total) : 0;
        return greatest == expected ? 1 : (pairs - expected) / (greatest - expected);
    }

    private static double Pairs(long n) => n * (n - 1.0) / 2;

    private static long[,] Contingency(ReadOnlySpan<int> factors, int components, ReadOnlySpan<int> objects, int objectCount)
    {
        if (factors.Length != objects.Length)
            throw new ArgumentException($"segmentations of {factors.Length} and {objects.Length} pixels cannot be compared");
        long[,] table = new long[objectCount + 1, components + 1];
        for (int p = 0; p < factors.Length; p++)
        {
            if (factors[p] < FactorMasks.Background || factors[p] >= components || objects[p] < FactorMasks.Background
                || objects[p] >= objectCount)
            {
                throw new ArgumentException($"pixel {p} has factor {factors[p]} of {components} and object {objects[p]} of {objectCount}");
            }

            table[objects[p] < 0 ? objectCount : objects[p], factors[p] < 0 ? components : factors[p]]++;
        }
        return table;
    }
}
