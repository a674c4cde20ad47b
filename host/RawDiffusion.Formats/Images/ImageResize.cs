namespace RawDiffusion.Formats.Images;

/// <summary>
/// skimage.transform.resize with its defaults for images (order 1, mode 'reflect', anti-aliasing), which the reference
/// implementation uses to load its training and evaluation images.
/// </summary>
public static class ImageResize
{
    /// <summary>
    /// Resizes in double precision. Per axis that shrinks by a factor f, the image is first smoothed by a Gaussian of
    /// sigma (f - 1) / 2, cut off at 4 sigma; then it is interpolated linearly at (i + 0.5) f - 0.5. The border is mirrored
    /// without repeating the edge pixel. An image that has the size already is only converted.
    /// </summary>
    /// <param name="image">Any image; gray becomes three equal channels, alpha is left out and does not weigh colours.</param>
    /// <param name="width">Columns of the result.</param>
    /// <param name="height">Rows of the result.</param>
    /// <returns>[height, width, 3] red, green, blue in [0, 1], row-major.</returns>
    /// <exception cref="ArgumentException">The size is not positive, or larger than an image may be.</exception>
    public static float[] Resize(Image image, int width, int height)
    {
        if (!Image.Fits(width, height, 3)) throw new ArgumentException($"an image cannot be resized to {width} x {height} pixels");
        // Smoothing and interpolation are linear and act on each axis alone, so together they are one sum per axis.
        Taps[] rows = Axis(image.Height, height), columns = Axis(image.Width, width);
        double[] source = new double[3 * image.Width];
        double[] blended = new double[3 * image.Width];
        float[] result = new float[3 * width * height];
        for (int y = 0; y < height; y++)
        {
            Array.Clear(blended);
            for (int i = 0; i < rows[y].Weights.Length; i++)
            {
                double weight = rows[y].Weights[i];
                image.ReadRowRgb(rows[y].First + i, source);
                for (int j = 0; j < blended.Length; j++) blended[j] += weight * source[j];
            }
            BlendColumns(blended, columns, result.AsSpan(3 * width * y, 3 * width));
        }
        return result;
    }

    private static void BlendColumns(double[] row, Taps[] columns, Span<float> result)
    {
        for (int x = 0; x < columns.Length; x++)
        {
            double red = 0, green = 0, blue = 0;
            int p = 3 * columns[x].First;
            foreach (double weight in columns[x].Weights)
            {
                red += weight * row[p];
                green += weight * row[p + 1];
                blue += weight * row[p + 2];
                p += 3;
            }
            result[3 * x] = (float)red;
            result[3 * x + 1] = (float)green;
            result[3 * x + 2] = (float)blue;
        }
    }

    /// <summary>For each output index, the input indices that it is a weighted sum of.</summary>
    private static Taps[] Axis(int input, int output)
    {
        double factor = (double)input / output;
        double sigma = Math.Max(0, (factor - 1) / 2);
        double[] kernel = Gaussian(sigma);
        int radius = kernel.Length / 2;
        double[] sums = new double[input];
        var taps = new Taps[output];
        for (int i = 0; i < output; i++)
        {
            double position = (i + 0.5) * factor - 0.5;
            int left = (int)Math.Floor(position);
            double fraction = position - left;
            int first = input, last = -1;
            Add(left, 1 - fraction);
            if (fraction > 0) Add(left + 1, fraction);
            taps[i] = new Taps(first, sums[first..(last + 1)]);
            Array.Clear(sums, first, last + 1 - first);

            void Add(int neighbour, double weight)
            {
                int centre = Mirror(neighbour, input);
                for (int k = -radius; k <= radius; k++)
                {
                    int index = Mirror(centre + k, input);
                    sums[index] += weight * kernel[k + radius];
                    first = Math.Min(first, index);
                    last = Math.Max(last, index);
                }
            }
        }
        return taps;
    }

    private static double[] Gaussian(double sigma)
    {
        int radius = (int)(4 * sigma + 0.5);
        double[] kernel = new double[2 * radius + 1];
        for (int k = -radius; k <= radius; k++) kernel[k + radius] = radius == 0 ? 1 : Math.Exp(-0.5 * k * k / (sigma * sigma));
        double sum = kernel.Sum();
        return [.. kernel.Select(w => w / sum)];
    }

    /// <summary>The index inside [0, n) that a position outside stands for: ... 2 1 | 0 1 ... n-1 | n-2 n-3 ...</summary>
    private static int Mirror(int index, int n)
    {
        if (n == 1) return 0;
        int period = 2 * n - 2;
        index = (index % period + period) % period;
        return index < n ? index : period - index;
    }

    private readonly record struct Taps(int First, double[] Weights);
}
