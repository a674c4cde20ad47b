using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class LinearAlgebraTests
{
    [TestCase(1, 1)]
    [TestCase(7, 3)]
    [TestCase(3, 7)]
    [TestCase(70, 70)]
    [TestCase(300, 129)]
    public void Singular_values_are_those_that_the_matrix_was_made_with(int rows, int columns)
    {
        int small = Math.Min(rows, columns);
        // From 1 down to 1e-12, with a pair and a zero.
        double[] expected = [.. Enumerable.Range(0, small)
            .Select(i => i == small - 1 && small > 2 ? 0 : i == 1 ? 1 : Math.Pow(10, -12.0 * i / small))];
        double[] a = WithSingularValues(expected, rows, columns);
        Assert.That(LinearAlgebra.SingularValues(a, rows, columns), Is.EqualTo(expected.OrderDescending()).Within(1e-14 * Math.Sqrt(rows)));
    }

    [Test]
    public void A_matrix_of_zeros_has_none() => Assert.That(LinearAlgebra.SingularValues(new double[12], 4, 3), Is.EqualTo(new double[3]));

    [Test]
    public void Equal_rows_have_one_singular_value()
    {
        double[] a = [.. Enumerable.Repeat(3.0, 20 * 30)];
        double[] found = LinearAlgebra.SingularValues(a, 20, 30);
        Assert.That(found[0], Is.EqualTo(3 * Math.Sqrt(600)).Within(1e-12));
        Assert.That(found.Skip(1), Is.All.EqualTo(0).Within(1e-12));
    }

    [Test]
    public void Eigenvalues_of_the_second_difference_are_known([Values(1, 2, 50, 401)] int n)
    {
        (double[] d, double[] e) = ([.. Enumerable.Repeat(2.0, n)], [.. Enumerable.Repeat(-1.0, n)]);
        LinearAlgebra.EigenvaluesOfTridiagonal(d, e);
        Array.Sort(d);
        Assert.That(d, Is.EqualTo(Enumerable.Range(1, n).Select(k => 2 - 2 * Math.Cos(k * Math.PI / (n + 1)))).Within(1e-13));
    }

    [TestCase(1, 1)]
    [TestCase(5, 9)]
    [TestCase(256, 40)]
    [TestCase(600, 130)]
    public void A_triangle_has_the_same_inner_products(int rows, int width)
    {
        double[] x = Normal("x", rows * width);
        for (int i = 0; i < rows && width > 2; i++) x[i * width + 2] = 0;
        double[] r = LinearAlgebra.Triangle(x, rows, width);
        for (int i = 0; i < width; i++)
        {
            for (int j = 0; j < width; j++)
            {
                if (j < i) Assert.That(r[i * width + j], Is.Zero);
                double expected = Enumerable.Range(0, rows).Sum(k => x[k * width + i] * x[k * width + j]);
                double found = Enumerable.Range(0, width).Sum(k => r[k * width + i] * r[k * width + j]);
                Assert.That(found, Is.EqualTo(expected).Within(1e-12 * rows));
            }
        }
    }

    [Test]
    public void A_product_is_the_sum_of_products()
    {
        (double[] a, double[] b) = (Normal("a", 37 * 19), Normal("b", 5 * 19));
        double[] found = LinearAlgebra.MultiplyTransposed(a, 37, b, 5, 19);
        for (int i = 0; i < 37; i++)
        {
            for (int j = 0; j < 5; j++)
                Assert.That(found[i * 5 + j], Is.EqualTo(Enumerable.Range(0, 19).Sum(k => a[i * 19 + k] * b[j * 19 + k])).Within(1e-13));
        }
    }

    private static double[] Normal(string name, int count) => [.. Drawn.Normal(name, count).Select(v => (double)v)];

    // U diag(s) V^T, U and V products of a few reflections.
    private static double[] WithSingularValues(double[] s, int rows, int columns)
    {
        double[] a = new double[rows * columns];
        for (int i = 0; i < s.Length; i++) a[i * columns + i] = s[i];
        for (int n = 0; n < 3; n++)
        {
            (double[] u, double[] v) = (Normal($"u{n}", rows), Normal($"v{n}", columns));
            (double uu, double vv) = (u.Sum(x => x * x), v.Sum(x => x * x));
            for (int j = 0; j < columns; j++)
            {
                double dot = Enumerable.Range(0, rows).Sum(i => u[i] * a[i * columns + j]);
                for (int i = 0; i < rows; i++) a[i * columns + j] -= 2 * dot / uu * u[i];
            }
            for (int i = 0; i < rows; i++)
            {
                double dot = Enumerable.Range(0, columns).Sum(j => v[j] * a[i * columns + j]);
                for (int j = 0; j < columns; j++) a[i * columns + j] -= 2 * dot / vv * v[j];
            }
        }
        return a;
    }
}
