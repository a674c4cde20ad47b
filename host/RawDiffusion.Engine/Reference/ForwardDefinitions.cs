using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Reference;

/// <summary>The operators in double precision: loops as the formulas are written.</summary>
internal static class ForwardDefinitions
{
    public static double Silu(double x) => x / (1 + Math.Exp(-x));

    public static Array64 Activate(Activation activation, Array64 x) => activation switch
    {
        Activation.Silu => x.Map(Silu),
        Activation.Relu => x.Map(v => Math.Max(v, 0)),
        Activation.None => x,
        _ => throw GraphException.Unhandled(activation),
    };

    public static Array64 Add(Array64 a, Array64 b) => new(a.Shape, [.. a.Values.Zip(b.Values, (x, y) => x + y)]);

    public static Array64 AddEmbedding(Array64 x, Array64 e) => Each(x.Shape, (n, h, w, c) => x[n, h, w, c] + e[n, c]);

    public static Array64 AddBias(Array64 x, Array64 b) => Each(x.Shape, (n, h, w, c) => x[n, h, w, c] + b[c]);

    public static Array64 Concat(Array64 a, Array64 b)
    {
        int ca = a.Shape[^1], cb = b.Shape[^1];
        var y = new Array64(a.Shape.WithChannels(ca + cb));
        for (int i = 0; i < y.Values.Length; i++)
        {
            (int pixel, int c) = Math.DivRem(i, ca + cb);
            y[i] = c < ca ? a[pixel * ca + c] : b[pixel * cb + c - ca];
        }
        return y;
    }

    public static Array64 Upsample(Array64 x) =>
        Each([x.Shape[0], 2 * x.Shape[1], 2 * x.Shape[2], x.Shape[3]], (n, h, w, c) => x[n, h / 2, w / 2, c]);

    public static Array64 AvgPool(Array64 x) => Each([x.Shape[0], x.Shape[1] / 2, x.Shape[2] / 2, x.Shape[3]], (n, h, w, c) =>
        (x[n, 2 * h, 2 * w, c] + x[n, 2 * h, 2 * w + 1, c] + x[n, 2 * h + 1, 2 * w, c] + x[n, 2 * h + 1, 2 * w + 1, c]) / 4);

    /// <summary>Maximum or mean over windows, as far as they are inside the image.</summary>
    public static Array64 Pool(Pool2d pool, Array64 x)
    {
        int height = (x.Shape[1] + 2 * pool.Padding - pool.Kernel) / pool.Stride + 1;
        int width = (x.Shape[2] + 2 * pool.Padding - pool.Kernel) / pool.Stride + 1;
        return Each([x.Shape[0], height, width, x.Shape[3]], (n, oy, ox, c) =>
        {
            List<double> window = [];
            for (int ky = 0; ky < pool.Kernel; ky++)
            {
                for (int kx = 0; kx < pool.Kernel; kx++)
                {
                    (int y, int xx) = (oy * pool.Stride - pool.Padding + ky, ox * pool.Stride - pool.Padding + kx);
                    if (y >= 0 && y < x.Shape[1] && xx >= 0 && xx < x.Shape[2]) window.Add(x[n, y, xx, c]);
                }
            }
            return pool.Kind switch
            {
                PoolKind.Average => window.Average(),
                PoolKind.Max => window.Any(double.IsNaN) ? double.NaN : window.Max(),
                _ => throw GraphException.Unhandled(pool.Kind),
            };
        });
    }

    /// <summary>scale * x + shift with affine [N, 2, C].</summary>
    public static Array64 Affine(Array64 x, Array64 affine) =>
        Each(x.Shape, (n, h, w, c) => affine[n, 0, c] * x[n, h, w, c] + affine[n, 1, c]);

    public static Array64 Conv2d(Array64 x, Array64 weight, int stride, int padding)
    {
        int kernel = weight.Shape[1];
        int height = (x.Shape[1] + 2 * padding - kernel) / stride + 1;
        int width = (x.Shape[2] + 2 * padding - kernel) / stride + 1;
        return Each([x.Shape[0], height, width, weight.Shape[0]], (n, oy, ox, o) =>
        {
            double sum = 0;
            for (int ky = 0; ky < kernel; ky++)
            {
                int y = oy * stride - padding + ky;
                if (y < 0 || y >= x.Shape[1]) continue;
                for (int kx = 0; kx < kernel; kx++)
                {
                    int xx = ox * stride - padding + kx;
                    if (xx < 0 || xx >= x.Shape[2]) continue;
                    for (int c = 0; c < x.Shape[3]; c++) sum += x[n, y, xx, c] * weight[o, ky, kx, c];
                }
            }
            return sum;
        });
    }

    public static Array64 Linear(Array64 x, Array64 weight, Array64? bias)
    {
        var y = new Array64([x.Shape[0], weight.Shape[0]]);
        for (int m = 0; m < x.Shape[0]; m++)
        {
            for (int o = 0; o < weight.Shape[0]; o++)
            {
                double sum = bias is null ? 0 : bias[o];
                for (int i = 0; i < x.Shape[1]; i++) sum += x[m, i] * weight[o, i];
                y[m, o] = sum;
            }
        }
        return y;
    }

    /// <summary>The scale and the shift [N, 2, C] of a group norm.</summary>
    public static Array64 GroupNormAffine(Array64 x, Array64 gamma, Array64 beta, Array64? film, int groups, double epsilon)
    {
        int channels = x.Shape[3], size = channels / groups;
        var affine = new Array64([x.Shape[0], 2, channels]);
        for (int n = 0; n < x.Shape[0]; n++)
        {
            for (int g = 0; g < groups; g++)
            {
                double[] members = [.. Members(x, n, g * size, size)];
                double mean = members.Sum() / members.Length;
                double variance = members.Sum(v => (v - mean) * (v - mean)) / members.Length;
                double rstd = 1 / Math.Sqrt(variance + epsilon);
                for (int c = g * size; c < (g + 1) * size; c++)
                {
                    double scale = 1 + (film is null ? 0 : film[n, c]);
                    double shift = film is null ? 0 : film[n, channels + c];
                    affine[n, 0, c] = rstd * gamma[c] * scale;
                    affine[n, 1, c] = (beta[c] - mean * rstd * gamma[c]) * scale + shift;
                }
            }
        }
        return affine;
    }

    public static Array64 GroupNorm(
        Array64 x, Array64 gamma, Array64 beta, Array64? film, int groups, double epsilon, Activation activation) =>
        Activate(activation, Affine(x, GroupNormAffine(x, gamma, beta, film, groups, epsilon)));

    public static Array64 BatchNorm(Array64 x, Array64 gamma, Array64 beta, Array64 mean, Array64 variance, double epsilon) =>
        Each(x.Shape, (n, h, w, c) => (x[n, h, w, c] - mean[c]) / Math.Sqrt(variance[c] + epsilon) * gamma[c] + beta[c]);

    /// <summary>qkv [N, H, W, 3C] as [head][q|k|v][d]; output [N, H, W, C] as [head][d].</summary>
    public static Array64 Attention(Array64 qkv, int heads)
    {
        int images = qkv.Shape[0], positions = qkv.Shape[1] * qkv.Shape[2], channels = qkv.Shape[3] / 3, d = channels / heads;
        var y = new Array64(qkv.Shape.WithChannels(channels));
        double At(int n, int t, int head, int part, int c) => qkv[((n * positions + t) * heads + head) * 3 * d + part * d + c];
        for (int n = 0; n < images; n++)
        {
            for (int head = 0; head < heads; head++)
            {
                for (int t = 0; t < positions; t++)
                {
                    double[] weights = new double[positions];
                    for (int s = 0; s < positions; s++)
                    {
                        for (int c = 0; c < d; c++) weights[s] += At(n, t, head, 0, c) * At(n, s, head, 1, c);
                        weights[s] /= Math.Sqrt(d);
                    }
                    double largest = weights.Aggregate(double.NegativeInfinity, Math.Max);
                    double total = 0;
                    for (int s = 0; s < positions; s++) total += weights[s] = Math.Exp(weights[s] - largest);
                    for (int c = 0; c < d; c++)
                    {
                        double sum = 0;
                        for (int s = 0; s < positions; s++) sum += weights[s] * At(n, s, head, 2, c);
                        y[(n * positions + t) * channels + head * d + c] = sum / total;
                    }
                }
            }
        }
        return y;
    }

    public static Array64 SumRows(RowGroups groups, Array64 x) => Each(x.Shape.WithRows(groups.Count), (n, h, w, c) =>
        Enumerable.Range(0, groups.Rows).Where(r => groups.Owner[r] == n).Sum(r => groups.Weights[r] * x[r, h, w, c]));

    public static Array64 DenoiseStep(Array64 prediction, Array64 x, Array64 table, Array64 step, Array64? noise, bool clip)
    {
        int row = Math.Clamp((int)step[0], 0, table.Shape[0] - 1);
        var y = new Array64(x.Shape);
        for (int i = 0; i < y.Values.Length; i++)
        {
            double x0 = table[row, 0] * x[i] + table[row, 1] * prediction[i];
            if (clip) x0 = Math.Clamp(x0, -1, 1);
            y[i] = table[row, 2] * x0 + table[row, 3] * x[i] + (noise is null ? 0 : table[row, 4] * noise[i]);
        }
        return y;
    }

    public static Array64 RepeatRows(RowGroups groups, Array64 x)
    {
        var y = new Array64(x.Shape.WithRows(groups.Rows));
        int size = x.Values.Length / Math.Max(1, x.Shape[0]);
        for (int r = 0; r < groups.Rows; r++) x.Values.AsSpan(groups.Owner[r] * size, size).CopyTo(y.Values.AsSpan(r * size));
        return y;
    }

    /// <summary>A step outside the table reads its nearest row.</summary>
    public static Array64 TableRow(Array64 table, double step, int rows)
    {
        int size = table.Values.Length / table.Shape[0];
        int row = (int)Math.Clamp(step, 0, table.Shape[0] - 1);
        return new Array64(table.Shape.WithRows(rows),
            [.. Enumerable.Repeat(table.Values[(row * size)..((row + 1) * size)], rows).SelectMany(v => v)]);
    }

    /// <summary>Frequency and phase are rounded to float32, as the authors compute them.</summary>
    public static Array64 TimestepEmbedding(Array64 t, int dimension)
    {
        var y = new Array64([t.Shape[0], dimension]);
        int half = dimension / 2;
        for (int m = 0; m < t.Shape[0]; m++)
        {
            for (int i = 0; i < half; i++)
            {
                float phase = (float)t[m] * (float)Math.Pow(10000, -(double)i / half);
                y[m, i] = Math.Cos(phase);
                y[m, half + i] = Math.Sin(phase);
            }
        }
        return y;
    }

    /// <summary>The host's function is the definition.</summary>
    public static Array64 RandomNormal(RandomNormal random, uint step, long firstRow)
    {
        float[] values = new float[random.Shape.Count];
        Philox.Normal(values, firstRow * random.RowLength, step, random.Seed, random.Stream);
        return new Array64(random.Shape, [.. values.Select(v => (double)v)]);
    }

    /// <summary>An image computed element by element.</summary>
    public static Array64 Each(Shape shape, Func<int, int, int, int, double> f)
    {
        var y = new Array64(shape);
        int i = 0;
        for (int n = 0; n < shape[0]; n++)
        {
            for (int h = 0; h < shape[1]; h++)
            {
                for (int w = 0; w < shape[2]; w++)
                    for (int c = 0; c < shape[3]; c++) y[i++] = f(n, h, w, c);
            }
        }

        return y;
    }

    private static IEnumerable<double> Members(Array64 x, int n, int first, int count)
    {
        for (int h = 0; h < x.Shape[1]; h++)
        {
            for (int w = 0; w < x.Shape[2]; w++)
                for (int c = first; c < first + count; c++) yield return x[n, h, w, c];
        }
    }
}
