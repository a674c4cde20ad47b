namespace RawDiffusion.Cli;

/// <summary>How measurements are spread. Quartiles are interpolated linearly between measurements.</summary>
internal sealed record Spread(double Min, double LowerQuartile, double Median, double UpperQuartile, double Max)
{
    public static Spread Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return new Spread(sorted[0], At(0.25), At(0.5), At(0.75), sorted[^1]);

        double At(double share)
        {
            double position = share * (sorted.Length - 1);
            int below = (int)position, above = Math.Min(below + 1, sorted.Length - 1);
            return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
        }
    }
}
