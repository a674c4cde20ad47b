using System.Globalization;

namespace RawDiffusion.Cli.Output;

/// <summary>A curve of positive numbers in braille characters, 2 x 4 dots each, on a logarithmic scale.</summary>
internal static class LossCurve
{
    // Bits of the dots of a character: left column from above, right column from above.
    private static readonly int[,] Dots = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } };

    /// <summary>Draws the losses of a run over its steps.</summary>
    /// <param name="values">In order; those that are not positive and finite are left out.</param>
    /// <param name="width">Characters.</param>
    /// <param name="height">Lines.</param>
    /// <returns>Lines, each with the scale's value behind it on the first and the last; none where there is nothing to draw.</returns>
    public static IReadOnlyList<string> Draw(IReadOnlyList<float> values, int width, int height)
    {
        double[] columns = [.. Means(values, 2 * width)];
        double[] logs = [.. columns.Where(v => v > 0 && double.IsFinite(v)).Select(v => Math.Log(v))];
        if (logs.Length == 0) return [];
        (double low, double high) = (logs.Min(), logs.Max());
        if (high - low < 1e-6) (low, high) = (low - 0.5, high + 0.5);
        int[,] cells = new int[height, width];
        for (int x = 0; x < columns.Length; x++)
        {
            if (!(columns[x] > 0) || !double.IsFinite(columns[x])) continue;
            int y = (int)Math.Round((high - Math.Log(columns[x])) / (high - low) * (4 * height - 1));
            cells[y / 4, x / 2] |= Dots[x % 2, y % 4];
        }
        return [.. Enumerable.Range(0, height).Select(row =>
        {
            string line = string.Concat(Enumerable.Range(0, width).Select(x => (char)(0x2800 + cells[row, x])));
            return row == 0 ? $"{line} {Label(high)}" : row == height - 1 ? $"{line} {Label(low)}" : line;
        })];
    }

    // Each column is the mean of what falls into it.
    private static IEnumerable<double> Means(IReadOnlyList<float> values, int columns)
    {
        int count = Math.Min(columns, values.Count);
        for (int x = 0; x < count; x++)
        {
            int first = (int)((long)x * values.Count / count), end = (int)((long)(x + 1) * values.Count / count);
            double sum = 0;
            for (int i = first; i < end; i++) sum += values[i];
            yield return sum / (end - first);
        }
    }

    private static string Label(double log) => Math.Exp(log).ToString("0.0000", CultureInfo.InvariantCulture);
}
