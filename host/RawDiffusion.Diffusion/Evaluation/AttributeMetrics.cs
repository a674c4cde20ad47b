namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>How latents tell ground-truth attributes. Matrices are by sample, then by latent dimension or attribute.</summary>
public static class AttributeMetrics
{
    /// <summary>Bins of a histogram, as Chen et al. (2018) and those after them use.</summary>
    public const int Bins = 20;

    /// <summary>
    /// Mutual information gap (Chen et al. 2018): mean over attributes v of (I(z_1; v) - I(z_2; v)) / H(v), where z_1 and z_2
    /// are the two latent dimensions with the greatest mutual information with v; 0 stands for z_2 where there is one
    /// dimension. Latents are divided into 20 bins between their least and greatest value; so are attributes of more than
    /// 20 different values, others are classes. Attributes of one value do not count; NaN where none is left, or a value
    /// is not finite.
    /// </summary>
    /// <param name="latents">[N, D].</param>
    /// <param name="attributes">[N, A].</param>
    /// <exception cref="ArgumentException">The numbers of samples differ.</exception>
    public static double Mig(double[,] latents, double[,] attributes)
    {
        if (!Comparable(latents, attributes)) return double.NaN;
        int[][] z = [.. Columns(latents).Select(c => Histogram(c))];
        double sum = 0;
        int counted = 0;
        foreach (double[] column in Columns(attributes))
        {
            int[] v = column.Distinct().Count() > Bins ? Histogram(column) : Classes(column);
            double entropy = Entropy(v);
            if (entropy == 0) continue;
            double[] information = [.. z.Select(d => Information(d, v)).OrderDescending()];
            sum += (information.ElementAtOrDefault(0) - information.ElementAtOrDefault(1)) / entropy;
            counted++;
        }
        return counted == 0 ? double.NaN : sum / counted;
    }

    /// <summary>
    /// Mean correlation coefficient: mean of |Pearson's correlation| over attributes, each with a latent dimension of its
    /// own, matched so that the sum is greatest. A constant dimension correlates with nothing; attributes of one value do
    /// not count; NaN where none is left, or a value is not finite. An attribute without a dimension counts as 0.
    /// </summary>
    /// <inheritdoc cref="Mig"/>
    public static double Mcc(double[,] latents, double[,] attributes)
    {
        if (!Comparable(latents, attributes)) return double.NaN;
        double[][] v = [.. Columns(attributes).Where(c => c.Distinct().Count() > 1)], z = [.. Columns(latents)];
        if (v.Length == 0) return double.NaN;
        double[,] correlation = new double[v.Length, z.Length];
        for (int i = 0; i < v.Length; i++)
            for (int j = 0; j < z.Length; j++) correlation[i, j] = Math.Abs(Correlation(v[i], z[j]));
        return Assignment.Maximise(correlation).Select((j, i) => j < 0 ? 0 : correlation[i, j]).Sum() / v.Length;
    }

    private static bool Comparable(double[,] latents, double[,] attributes)
    {
        if (latents.GetLength(0) != attributes.GetLength(0))
        {
            throw new ArgumentException(
                $"{latents.GetLength(0)} latents and {attributes.GetLength(0)} sets of attributes are not one for each sample");
        }

        return latents.Cast<double>().Concat(attributes.Cast<double>()).All(double.IsFinite);
    }

    private static IEnumerable<double[]> Columns(double[,] m) => Enumerable.Range(0, m.GetLength(1))
        .Select(j => Enumerable.Range(0, m.GetLength(0)).Select(i => m[i, j]).ToArray());

    private static int[] Histogram(double[] values)
    {
        if (values.Length == 0) return [];
        double least = values.Min(), width = (values.Max() - least) / Bins;
        return [.. values.Select(v => width > 0 ? Math.Min(Bins - 1, (int)((v - least) / width)) : 0)];
    }

    private static int[] Classes(double[] values)
    {
        double[] classes = [.. values.Distinct().Order()];
        return [.. values.Select(v => Array.BinarySearch(classes, v))];
    }

    private static double Entropy(int[] v) =>
        v.CountBy(i => i).Sum(group => -(double)group.Value / v.Length * Math.Log((double)group.Value / v.Length));

    // Rounding must not make independence look like a little less than that.
    private static double Information(int[] a, int[] b) =>
        Math.Max(0, Entropy(a) + Entropy(b) - Entropy([.. a.Zip(b, (i, j) => i * b.Length + j)]));

    private static double Correlation(double[] a, double[] b)
    {
        double meanA = a.Average(), meanB = b.Average();
        double ab = 0, aa = 0, bb = 0;
        for (int i = 0; i < a.Length; i++)
        {
            (double da, double db) = (a[i] - meanA, b[i] - meanB);
            ab += da * db;
            aa += da * da;
            bb += db * db;
        }
        // The mean of equal numbers may be off by a rounding, which must not pass for variation.
        bool constant = b.All(x => x == b[0]);
        return constant || aa == 0 || bb == 0 ? 0 : ab / Math.Sqrt(aa * bb);
    }
}
