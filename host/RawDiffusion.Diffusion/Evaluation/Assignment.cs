namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// The assignment problem: pairs of rows and columns, each at most once, of the greatest total value. The Hungarian method
/// with potentials and shortest augmenting paths (Kuhn 1955, Jonker and Volgenant 1987), O(n^3).
/// </summary>
public static class Assignment
{
    /// <summary>Solves it exactly. Every row gets a column, or every column a row, whichever are fewer.</summary>
    /// <param name="value">Finite values by row and column.</param>
    /// <returns>Column of each row; -1 where there are fewer columns than rows and the row has none.</returns>
    /// <exception cref="ArgumentException">A value is not finite.</exception>
    public static int[] Maximise(double[,] value)
    {
        foreach (double v in value) if (!double.IsFinite(v)) throw new ArgumentException($"an assignment needs finite values, found {v}");
        (int rows, int columns) = (value.GetLength(0), value.GetLength(1));
        if (rows <= columns) return Solve(rows, columns, (i, j) => -value[i, j]);
        int[] rowOf = Solve(columns, rows, (i, j) => -value[j, i]);
        int[] columnOf = [.. Enumerable.Repeat(-1, rows)];
        for (int j = 0; j < columns; j++) columnOf[rowOf[j]] = j;
        return columnOf;
    }

    // Rows and columns count from 1; column 0 is where the path of the row that is being added begins.
    private static int[] Solve(int rows, int columns, Func<int, int, double> cost)
    {
        (double[] u, double[] v) = (new double[rows + 1], new double[columns + 1]);
        (int[] rowAt, int[] previous) = (new int[columns + 1], new int[columns + 1]);
        for (int added = 1; added <= rows; added++)
        {
            double[] slack = [.. Enumerable.Repeat(double.PositiveInfinity, columns + 1)];
            bool[] visited = new bool[columns + 1];
            rowAt[0] = added;
            int column = 0;
            do
            {
                visited[column] = true;
                (int row, int next, double least) = (rowAt[column], 0, double.PositiveInfinity);
                for (int j = 1; j <= columns; j++)
                {
                    if (visited[j]) continue;
                    double reduced = cost(row - 1, j - 1) - u[row] - v[j];
                    if (reduced < slack[j]) (slack[j], previous[j]) = (reduced, column);
                    if (slack[j] < least) (least, next) = (slack[j], j);
                }
                for (int j = 0; j <= columns; j++)
                {
                    if (visited[j])
                    {
                        u[rowAt[j]] += least;
                        v[j] -= least;
                    }
                    else
                    {
                        slack[j] -= least;
                    }
                }
                column = next;
            }
            while (rowAt[column] != 0);
            for (; column != 0; column = previous[column]) rowAt[column] = rowAt[previous[column]];
        }
        int[] columnOf = new int[rows];
        for (int j = 1; j <= columns; j++) if (rowAt[j] > 0) columnOf[rowAt[j] - 1] = j - 1;
        return columnOf;
    }
}
