namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// How far images are from others. Images are planes [C, H, W] with values in [0, 1]; a NaN in either makes the result NaN.
/// </summary>
public static class ReconstructionMetrics
{
    /// <summary>Width and height of the window of <see cref="Ssim"/>.</summary>
    public const int SsimWindow = 11;

    private const double SsimSigma = 1.5;
    private const double C1 = 0.01 * 0.01;
    private const double C2 = 0.03 * 0.03;

    private static readonly double[] Gaussian = MakeGaussian();

    /// <summary>Mean squared error.</summary>
    /// <param name="a">An image.</param>
    /// <param name="b">Another of the same shape.</param>
    /// <exception cref="ArgumentException">The images are empty or of different sizes.</exception>
    public static double Mse(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        if (a.Length != b.Length || a.IsEmpty)
            throw new ArgumentException($"images of {a.Length} and {b.Length} values cannot be compared");
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            double d = (double)a[i] - b[i];
            sum += d * d;
        }
        return sum / a.Length;
    }

    /// <summary>Peak signal-to-noise ratio in dB for a range of 1, -10 log10(MSE); infinite where the images are equal.</summary>
    /// <param name="mse">The mean squared error.</param>
    public static double Psnr(double mse) => -10 * Math.Log10(mse);

    /// <summary>
    /// Structural similarity (Wang et al. 2004): Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 1,
    /// statistics without Bessel's correction, mean over all positions where the window is inside the image, then over
    /// channels: what skimage (<c>gaussian_weights=True, use_sample_covariance=False</c>) and torchmetrics compute. NaN for an
    /// image that is smaller than the window.
    /// </summary>
    /// <param name="a">An image.</param>
    /// <param name="b">Another of the same shape.</param>
    /// <param name="channels">C, numbers of a pixel.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <exception cref="ArgumentException">The spans have another length.</exception>
    public static double Ssim(ReadOnlySpan<float> a, ReadOnlySpan<float> b, int channels, int height, int width)
    {
        int plane = height * width;
        if (a.Length != channels * plane || b.Length != a.Length)
            throw new ArgumentException($"images of {a.Length} and {b.Length} values are not both [{channels}, {height}, {width}]");
        if (height < SsimWindow || width < SsimWindow) return double.NaN;
        double sum = 0;
        for (int c = 0; c < channels; c++) sum += SsimOfPlane(a.Slice(c * plane, plane), b.Slice(c * plane, plane), height, width);
        return sum / channels;
    }

    private static double SsimOfPlane(ReadOnlySpan<float> a, ReadOnlySpan<float> b, int height, int width)
    {
        (double[] x, double[] y) = (new double[a.Length], new double[a.Length]);
        (double[] xx, double[] yy, double[] xy) = (new double[a.Length], new double[a.Length], new double[a.Length]);
        for (int i = 0; i < a.Length; i++)
        {
            (x[i], y[i]) = (a[i], b[i]);
            (xx[i], yy[i], xy[i]) = (x[i] * x[i], y[i] * y[i], x[i] * y[i]);
        }
        (x, y, xx, yy, xy) = (Blur(x, height, width), Blur(y, height, width), Blur(xx, height, width), Blur(yy, height, width),
            Blur(xy, height, width));
        double sum = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double mean2 = x[i] * x[i] + y[i] * y[i], product = x[i] * y[i];
            double variances = xx[i] + yy[i] - mean2, covariance = xy[i] - product;
            sum += (2 * product + C1) * (2 * covariance + C2) / ((mean2 + C1) * (variances + C2));
        }
        return sum / x.Length;
    }

    // Where the whole window is inside: [H, W] to [H - 10, W - 10].
    private static double[] Blur(double[] x, int height, int width)
    {
        int inner = width - SsimWindow + 1;
        double[] rows = new double[height * inner];
        for (int i = 0; i < height; i++)
        {
            for (int j = 0; j < inner; j++)
                for (int t = 0; t < SsimWindow; t++) rows[i * inner + j] += Gaussian[t] * x[i * width + j + t];
        }
        double[] blurred = new double[(height - SsimWindow + 1) * inner];
        for (int p = 0; p < blurred.Length; p++)
            for (int t = 0; t < SsimWindow; t++) blurred[p] += Gaussian[t] * rows[p + t * inner];
        return blurred;
    }

    private static double[] MakeGaussian()
    {
        double[] weights = [.. Enumerable.Range(0, SsimWindow).Select(i => Math.Exp(-0.5 * Math.Pow((i - SsimWindow / 2) / SsimSigma, 2)))];
        double sum = weights.Sum();
        return [.. weights.Select(w => w / sum)];
    }
}
