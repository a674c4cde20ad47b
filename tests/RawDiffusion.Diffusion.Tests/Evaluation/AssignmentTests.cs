using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

public sealed class AssignmentTests
{
    [Test]
    public void It_is_the_best_of_all_assignments(
        [Values(1, 2, 4, 6)] int rows, [Values(1, 3, 6)] int columns, [Values(2, 1000)] int values)
    {
        for (int trial = 0; trial < 20; trial++)
        {
            double[,] value = new double[rows, columns];
            // With two different values there are ties everywhere.
            for (int i = 0; i < rows * columns; i++)
                value[i / columns, i % columns] = (int)(Drawn.Uniform($"value{trial}", i) * values) - values / 2;
            int[] found = Assignment.Maximise(value);
            Assert.That(found.Where(j => j >= 0), Is.Unique);
            Assert.That(found.Count(j => j >= 0), Is.EqualTo(Math.Min(rows, columns)));
            Assert.That(found.Select((j, i) => j < 0 ? 0 : value[i, j]).Sum(), Is.EqualTo(Best(value, 0, [], Math.Min(rows, columns))));
        }
    }

    [TestCase(0, 0)]
    [TestCase(0, 3)]
    [TestCase(3, 0)]
    public void Without_columns_no_row_has_one(int rows, int columns) =>
        Assert.That(Assignment.Maximise(new double[rows, columns]), Is.EqualTo(Enumerable.Repeat(-1, rows)));

    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    public void Values_must_be_finite(double bad) =>
        Assert.That(() => Assignment.Maximise(new[,] { { 1, bad } }), Throws.ArgumentException);

    [Test]
    public void A_large_one_is_solved()
    {
        const int n = 300;
        double[,] value = new double[n, n];
        int[] hidden = [.. Enumerable.Range(0, n).OrderBy(i => Drawn.Uniform("hidden", i))];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) value[i, j] = hidden[i] == j ? 1 : Drawn.Uniform("rest", i * n + j) * 0.999;
        Assert.That(Assignment.Maximise(value), Is.EqualTo(hidden));
    }

    private static double Best(double[,] value, int row, HashSet<int> taken, int left)
    {
        if (left == 0) return 0;
        if (value.GetLength(0) - row < left) return double.NegativeInfinity;
        double best = Best(value, row + 1, taken, left);
        for (int j = 0; j < value.GetLength(1); j++)
        {
            if (!taken.Add(j)) continue;
            best = Math.Max(best, value[row, j] + Best(value, row + 1, taken, left - 1));
            taken.Remove(j);
        }
        return best;
    }
}
