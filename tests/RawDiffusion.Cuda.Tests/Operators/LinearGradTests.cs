using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class LinearGradTests
{
    // Rows, inputs, outputs.
    private static readonly int[][] Shapes = [[0, 4, 3], [1, 1, 1], [1, 300, 7], [2, 64, 31], [3, 33, 80], [5, 7, 1], [21, 132, 37]];

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_input_is_a_product_with_the_weights(int rows, int inputs, int outputs) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.LinearGradInput(v[0], v[1]),
        a => Product(rows, outputs, inputs, (m, o) => a[0][m * outputs + o], (o, i) => a[1][o * inputs + i]),
        [rows, outputs], [outputs, inputs]);

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_weights_is_a_product_with_the_inputs(int rows, int inputs, int outputs) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.LinearGradWeight(v[0], v[1]),
        a => Product(outputs, rows, inputs, (o, m) => a[0][m * outputs + o], (m, i) => a[1][m * inputs + i]),
        [rows, outputs], [rows, inputs]);

    /// <summary>The encoder's last layer reads an image in one row, which is stored as the precision says.</summary>
    [Test]
    public void A_layer_reads_an_activation_as_it_is_stored()
    {
        KernelContract.Check(
            KernelTolerance.Exact, (g, v) => g.LinearGradWeight(v[0], g.Reshape(v[1], [3, 60])),
            a => Product(7, 3, 60, (o, m) => a[0][m * 7 + o], (m, i) => a[1][m * 60 + i]), [3, 7], [3, 2, 5, 6]);
        KernelContract.Check(
            KernelTolerance.Exact, (g, v) => g.Linear(g.Reshape(v[0], [3, 60]), v[1], null),
            a => Product(3, 60, 7, (m, i) => a[0][m * 60 + i], (i, o) => a[1][o * 60 + i]), [3, 2, 5, 6], [7, 60]);
    }

    /// <summary>Few outputs of many inputs: blocks share the inputs, and the last adds what all have found.</summary>
    [TestCase(1, 20000, 5)]
    [TestCase(9, 9001, 17)]
    public void A_layer_of_many_inputs_is_split_among_blocks(int rows, int inputs, int outputs) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.Linear(v[0], v[1], v[2]),
        a => Product(rows, inputs, outputs, (m, i) => a[0][m * inputs + i], (i, o) => a[1][o * inputs + i], o => a[2][o]),
        [rows, inputs], [outputs, inputs], [outputs]);

    private static double[] Product(
        int rows, int depth, int columns, Func<int, int, double> a, Func<int, int, double> b, Func<int, double>? bias = null)
    {
        double[] y = new double[rows * columns];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                y[r * columns + c] = bias?.Invoke(c) ?? 0;
                for (int k = 0; k < depth; k++) y[r * columns + c] += a(r, k) * b(k, c);
            }
        }
        return y;
    }
}
