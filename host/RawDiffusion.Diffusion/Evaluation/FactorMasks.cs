namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// Which factor each pixel belongs to, from the factor images alone. The one definition that all figures use:
/// a factor image's background is its median colour, channel by channel; at a pixel it departs from that by the greatest
/// difference over the channels; the pixel belongs to the factor that departs most, the first of equals, if it departs by
/// more than the threshold, else to none.
/// </summary>
public static class FactorMasks
{
    /// <summary>Label of pixels that belong to no factor or object.</summary>
    public const int Background = -1;

    /// <summary>The threshold that is used where none is given, in units of the full range of an image.</summary>
    public const double DefaultThreshold = 0.2;

    /// <summary>Labels of all pixels.</summary>
    /// <param name="factors">[K, C, P], values in [0, 1] up to overshoot; NaN never departs.</param>
    /// <param name="components">K, factors of an image.</param>
    /// <param name="channels">C, numbers of a pixel.</param>
    /// <param name="threshold">Departure above which a pixel belongs to a factor.</param>
    /// <returns>[P]: factor from 0 to K - 1, or <see cref="Background"/>.</returns>
    /// <exception cref="ArgumentException">The span cannot be divided into K images of C channels.</exception>
    public static int[] Label(ReadOnlySpan<float> factors, int components, int channels, double threshold = DefaultThreshold)
    {
        int pixels = factors.Length / (components * channels);
        if (pixels * components * channels != factors.Length)
            throw new ArgumentException($"{factors.Length} values are not {components} images of {channels} channels");
        int[] labels = [.. Enumerable.Repeat(Background, pixels)];
        double[] most = [.. Enumerable.Repeat(threshold, pixels)];
        double[] departure = new double[pixels];
        for (int k = 0; k < components; k++)
        {
            Array.Clear(departure);
            for (int c = 0; c < channels; c++)
            {
                ReadOnlySpan<float> plane = factors.Slice((k * channels + c) * pixels, pixels);
                double background = Median(plane);
                for (int p = 0; p < pixels; p++)
                {
                    double d = Math.Abs(plane[p] - background);
                    if (d > departure[p]) departure[p] = d;
                }
            }
            for (int p = 0; p < pixels; p++) if (departure[p] > most[p]) (most[p], labels[p]) = (departure[p], k);
        }
        return labels;
    }

    // The lower of the two middle elements where there is an even number; NaN sorts first.
    private static double Median(ReadOnlySpan<float> values)
    {
        if (values.IsEmpty) return 0;
        float[] sorted = values.ToArray();
        Array.Sort(sorted);
        return sorted[(sorted.Length - 1) / 2];
    }
}
