using System.Numerics;
using System.Runtime.InteropServices;

namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// The dense linear algebra that distances of features need, in double precision, matrices by rows. Work is divided among
/// threads by rows or columns of the result alone, so that their number does not matter.
/// </summary>
internal static class LinearAlgebra
{
    // Columns of a task: their part of a matrix of 2048 rows stays in a core's second-level cache.
    private const int ColumnBlock = 64;

    // Rows of a task of a product, which stay there while the other factor streams by; a multiple of 4.
    private const int RowBlock = 32;

    // Rows that join a triangle at once.
    private const int TriangleRows = 256;

    private const int MaxIterations = 60;

    /// <summary>A B^T of A [n, width] and B [m, width]: [n, m].</summary>
    public static double[] MultiplyTransposed(double[] a, int n, double[] b, int m, int width)
    {
        double[] product = new double[(long)n * m];
        Parallel.For(0, (n + RowBlock - 1) / RowBlock, block =>
        {
            int end = Math.Min(n, (block + 1) * RowBlock);
            for (int j = 0; j < m; j++)
            {
                ReadOnlySpan<double> right = b.AsSpan(j * width, width);
                for (int i = block * RowBlock; i < end; i++) product[i * m + j] = Dot(a.AsSpan(i * width, width), right);
            }
        });
        return product;
    }

    /// <summary>The upper triangle R [width, width] of the QR decomposition of X [rows, width]: R^T R = X^T X.</summary>
    public static double[] Triangle(double[] x, int rows, int width)
    {
        double[] r = new double[width * width];
        for (int first = 0; first < rows; first += TriangleRows)
        {
            int count = Math.Min(TriangleRows, rows - first);
            // Column k of the reflected matrix is that of R and of the rows that join, but for R's zeros below the diagonal.
            double[] joining = x.AsSpan(first * width, count * width).ToArray();
            double[] v = new double[count];
            for (int k = 0; k < width; k++)
            {
                for (int i = 0; i < count; i++) v[i] = joining[i * width + k];
                if (!Reflector(r[k * width + k], v, out double head, out double beta, out double diagonal)) continue;
                r[k * width + k] = diagonal;
                Parallel.For(0, Blocks(k + 1, width), block =>
                {
                    (int start, int length) = Block(block, k + 1, width);
                    Span<double> w = stackalloc double[length], top = r.AsSpan(k * width + start, length);
                    w.Clear();
                    AddScaled(w, head, top);
                    for (int i = 0; i < count; i++) AddScaled(w, v[i], joining.AsSpan(i * width + start, length));
                    AddScaled(top, -beta * head, w);
                    for (int i = 0; i < count; i++) AddScaled(joining.AsSpan(i * width + start, length), -beta * v[i], w);
                });
            }
        }
        return r;
    }

    /// <summary>
    /// Singular values of A [rows, columns], greatest first, as many as the smaller side: Householder's reflections make A
    /// bidiagonal (Golub and Kahan 1965), and the eigenvalues of the symmetric tridiagonal matrix with a zero diagonal and
    /// the bidiagonal's elements in turn beside it are plus and minus the singular values.
    /// </summary>
    public static double[] SingularValues(double[] a, int rows, int columns)
    {
        double[] work = rows >= columns ? (double[])a.Clone() : Transpose(a, rows, columns);
        if (rows < columns) (rows, columns) = (columns, rows);
        if (columns == 0) return [];
        double[] beside = new double[2 * columns];
        double[] column = new double[rows];
        for (int k = 0; k < columns; k++)
        {
            Span<double> v = column.AsSpan(k + 1, rows - k - 1);
            for (int i = k + 1; i < rows; i++) column[i] = work[i * columns + k];
            bool reflects = Reflector(work[k * columns + k], v, out double head, out double beta, out beside[2 * k]);
            if (k + 1 == columns) break;
            if (reflects)
            {
                column[k] = head;
                ReflectColumns(work, rows, columns, k, column, beta);
            }
            beside[2 * k + 1] = ReflectRows(work, rows, columns, k);
        }
        double[] diagonal = new double[2 * columns];
        EigenvaluesOfTridiagonal(diagonal, beside);
        Array.Sort(diagonal);
        return [.. Enumerable.Range(1, columns).Select(i => Math.Max(0, diagonal[^i]))];
    }

    /// <summary>
    /// Eigenvalues of a symmetric tridiagonal matrix by the QL method with implicit shifts (Bowdler, Martin, Reinsch and
    /// Wilkinson 1968).
    /// </summary>
    /// <param name="d">Diagonal [n]; receives the eigenvalues, in no order.</param>
    /// <param name="e">Elements beside it [n], the last unused; overwritten.</param>
    /// <exception cref="ArithmeticException">It does not converge, which for finite elements does not happen.</exception>
    public static void EigenvaluesOfTridiagonal(double[] d, double[] e)
    {
        int n = d.Length;
        if (n == 0) return;
        e[n - 1] = 0;
        double negligible = double.BitIncrement(1.0) - 1;
        negligible *= Math.Max(d.Max(Math.Abs), e.Max(Math.Abs));
        for (int l = 0; l < n; l++)
        {
            for (int iteration = 0; ; iteration++)
            {
                int m = l;
                while (m < n - 1 && Math.Abs(e[m]) > negligible) m++;
                if (m == l) break;
                if (iteration == MaxIterations) throw new ArithmeticException("the eigenvalues of a tridiagonal matrix did not converge");
                Sweep(d, e, l, m);
            }
        }
    }

    // One implicit QL step on rows l to m.
    private static void Sweep(double[] d, double[] e, int l, int m)
    {
        double g = (d[l + 1] - d[l]) / (2 * e[l]);
        g = d[m] - d[l] + e[l] / (g + Math.CopySign(double.Hypot(g, 1), g));
        (double s, double c, double p) = (1, 1, 0);
        for (int i = m - 1; i >= l; i--)
        {
            (double f, double b) = (s * e[i], c * e[i]);
            double r = double.Hypot(f, g);
            e[i + 1] = r;
            if (r == 0)
            {
                d[i + 1] -= p;
                e[m] = 0;
                return;
            }
            (s, c) = (f / r, g / r);
            g = d[i + 1] - p;
            r = (d[i] - g) * s + 2 * c * b;
            p = s * r;
            d[i + 1] = g + p;
            g = c * r - b;
        }
        d[l] -= p;
        e[l] = g;
        e[m] = 0;
    }

    // I - beta v v^T with v = (head, rest) maps (first, rest) to (image, 0, ..). False where there is nothing to do.
    private static bool Reflector(double first, ReadOnlySpan<double> rest, out double head, out double beta, out double image)
    {
        double below = Dot(rest, rest);
        (head, beta, image) = (0, 0, first);
        if (below == 0) return false;
        double norm = Math.Sqrt(first * first + below);
        image = first > 0 ? -norm : norm;
        head = first - image;
        beta = 1 / (norm * Math.Abs(head));
        return true;
    }

    // (I - beta v v^T) on rows k and below, columns right of k.
    private static void ReflectColumns(double[] a, int rows, int columns, int k, double[] v, double beta) =>
        Parallel.For(0, Blocks(k + 1, columns), block =>
        {
            (int start, int length) = Block(block, k + 1, columns);
            Span<double> w = stackalloc double[length];
            w.Clear();
            for (int i = k; i < rows; i++) AddScaled(w, v[i], a.AsSpan(i * columns + start, length));
            for (int i = k; i < rows; i++) AddScaled(a.AsSpan(i * columns + start, length), -beta * v[i], w);
        });

    // Reflects row k, right of its diagonal, to one element, which it returns, and the rows below alike.
    private static double ReflectRows(double[] a, int rows, int columns, int k)
    {
        double[] u = a.AsSpan(k * columns + k + 1, columns - k - 1).ToArray();
        if (!Reflector(u[0], u.AsSpan(1), out u[0], out double beta, out double image)) return image;
        Parallel.For(0, (rows - k - 1 + RowBlock - 1) / RowBlock, block =>
        {
            int first = k + 1 + block * RowBlock;
            for (int i = first; i < Math.Min(rows, first + RowBlock); i++)
            {
                Span<double> row = a.AsSpan(i * columns + k + 1, u.Length);
                AddScaled(row, -beta * Dot(row, u), u);
            }
        });
        return image;
    }

    private static double[] Transpose(double[] a, int rows, int columns)
    {
        double[] transposed = new double[a.Length];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) transposed[j * rows + i] = a[i * columns + j];
        return transposed;
    }

    private static int Blocks(int first, int end) => (end - first + ColumnBlock - 1) / ColumnBlock;

    private static (int Start, int Length) Block(int block, int first, int end)
    {
        int start = first + block * ColumnBlock;
        return (start, Math.Min(ColumnBlock, end - start));
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        ReadOnlySpan<Vector<double>> va = MemoryMarshal.Cast<double, Vector<double>>(a), vb = MemoryMarshal.Cast<double, Vector<double>>(b);
        (Vector<double> even, Vector<double> odd) = (Vector<double>.Zero, Vector<double>.Zero);
        int i = 0;
        for (; i + 1 < va.Length; i += 2)
        {
            even += va[i] * vb[i];
            odd += va[i + 1] * vb[i + 1];
        }
        if (i < va.Length) even += va[i] * vb[i];
        double sum = Vector.Sum(even + odd);
        for (int j = va.Length * Vector<double>.Count; j < a.Length; j++) sum += a[j] * b[j];
        return sum;
    }

    // y += scale x.
    private static void AddScaled(Span<double> y, double scale, ReadOnlySpan<double> x)
    {
        Span<Vector<double>> vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        ReadOnlySpan<Vector<double>> vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        var scales = new Vector<double>(scale);
        for (int i = 0; i < vy.Length; i++) vy[i] += scales * vx[i];
        for (int j = vy.Length * Vector<double>.Count; j < y.Length; j++) y[j] += scale * x[j];
    }
}
