namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>Distances between two sets of images by features [N, D] of a network.</summary>
public static class FeatureDistances
{
    /// <summary>
    /// With fewer samples than features a covariance is not of full rank, and a Fréchet distance depends on their number more than on
    /// what they are of: it means little.
    /// </summary>
    public const int FewSamples = 2048;

    /// <summary>Samples of a subset of <see cref="Kid"/> where there are as many.</summary>
    public const int KidSubset = 1000;

    /// <summary>Subsets of <see cref="Kid"/>.</summary>
    public const int KidSubsets = 100;

    /// <summary>
    /// Fréchet distance (Heusel et al. 2017) of the normal distributions with the features' means and covariances:
    /// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with Bessel's correction. With C = X^T X the last trace is the
    /// sum of the singular values of X1 X2^T, so that no root of a matrix is taken. NaN where there are fewer than 2 samples
    /// of either, or a feature is not finite.
    /// </summary>
    /// <param name="first">[N, D].</param>
    /// <param name="second">[M, D].</param>
    /// <param name="width">D.</param>
    /// <exception cref="ArgumentException">The arrays do not have rows of that width.</exception>
    public static double Fid(float[] first, float[] second, int width)
    {
        (int n, int m) = (Rows(first, width), Rows(second, width));
        if (n < 2 || m < 2 || !AllFinite(first) || !AllFinite(second)) return double.NaN;
        (double[] mean1, double[] x1) = Centre(first, n, width);
        (double[] mean2, double[] x2) = Centre(second, m, width);
        double distance = mean1.Zip(mean2, (a, b) => (a - b) * (a - b)).Sum() + SumOfSquares(x1) + SumOfSquares(x2);
        // X may be replaced by the triangle R of its QR decomposition: R^T R is X^T X.
        if (n > width) (x1, n) = (LinearAlgebra.Triangle(x1, n, width), width);
        if (m > width) (x2, m) = (LinearAlgebra.Triangle(x2, m, width), width);
        double[] product = LinearAlgebra.MultiplyTransposed(x1, n, x2, m, width);
        return distance - 2 * LinearAlgebra.SingularValues(product, n, m).Sum();
    }

    /// <summary>
    /// Kernel distance (Bińkowski et al. 2018): the unbiased estimate of the squared maximum mean discrepancy under
    /// k(x, y) = (x . y / D + 1)^3, mean and standard deviation over 100 random subsets of 1000 samples of each, or of as many
    /// as the smaller set has; of all samples once where both sets are no larger. NaN where there are fewer than 2 samples of
    /// either, or a feature is not finite.
    /// </summary>
    /// <param name="first">[N, D].</param>
    /// <param name="second">[M, D].</param>
    /// <param name="width">D.</param>
    /// <param name="seed">Of the subsets.</param>
    /// <exception cref="ArgumentException">The arrays do not have rows of that width.</exception>
    public static (double Mean, double Deviation) Kid(float[] first, float[] second, int width, uint seed = 0)
    {
        (int n, int m) = (Rows(first, width), Rows(second, width));
        if (n < 2 || m < 2 || !AllFinite(first) || !AllFinite(second)) return (double.NaN, double.NaN);
        int size = Math.Min(KidSubset, Math.Min(n, m));
        bool all = n == size && m == size;
        var random = new Random((int)seed);
        double[] values = [.. Enumerable.Range(0, all ? 1 : KidSubsets).Select(_ =>
            Discrepancy(Subset(first, n, size, width, random), Subset(second, m, size, width, random), size, width))];
        double mean = values.Average();
        return (mean, Math.Sqrt(values.Average(v => (v - mean) * (v - mean))));
    }

    private static double Discrepancy(double[] x, double[] y, int size, int width)
    {
        double within = Kernel(x, x, diagonal: false) + Kernel(y, y, diagonal: false);
        return within / (size * (size - 1.0)) - 2 * Kernel(x, y, diagonal: true) / ((double)size * size);

        double Kernel(double[] a, double[] b, bool diagonal)
        {
            double[] products = LinearAlgebra.MultiplyTransposed(a, size, b, size, width);
            double sum = 0;
            for (int i = 0; i < products.Length; i++)
            {
                if (!diagonal && i / size == i % size) continue;
                double k = products[i] / width + 1;
                sum += k * k * k;
            }
            return sum;
        }
    }

    private static double[] Subset(float[] x, int rows, int size, int width, Random random)
    {
        int[] order = [.. Enumerable.Range(0, rows)];
        if (size < rows) random.Shuffle(order);
        double[] subset = new double[size * width];
        for (int i = 0; i < subset.Length; i++) subset[i] = x[order[i / width] * width + i % width];
        return subset;
    }

    private static int Rows(float[] x, int width) => width > 0 && x.Length % width == 0
        ? x.Length / width
        : throw new ArgumentException($"{x.Length} values are not rows of {width} features");

    // Means, and X with X^T X = covariance: rows less their mean, over the root of N - 1.
    private static (double[] Mean, double[] X) Centre(float[] features, int rows, int width)
    {
        double[] mean = new double[width];
        for (int i = 0; i < features.Length; i++) mean[i % width] += features[i];
        for (int j = 0; j < width; j++) mean[j] /= rows;
        double scale = 1 / Math.Sqrt(rows - 1);
        double[] x = new double[features.Length];
        for (int i = 0; i < x.Length; i++) x[i] = (features[i] - mean[i % width]) * scale;
        return (mean, x);
    }

    private static double SumOfSquares(double[] x) => x.Sum(v => v * v);

    private static bool AllFinite(float[] x) => Array.TrueForAll(x, float.IsFinite);
}
