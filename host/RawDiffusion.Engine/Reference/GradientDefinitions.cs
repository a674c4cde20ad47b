using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Reference;

/// <summary>Backward and training operators in double precision: sums as the formulas are written.</summary>
internal static class GradientDefinitions
{
    public static double Derivative(Activation activation, double x)
    {
        double sigmoid = 1 / (1 + Math.Exp(-x));
        return activation switch
        {
            Activation.Silu => sigmoid * (1 + x * (1 - sigmoid)),
            Activation.Relu => x <= 0 ? 0 : 1,
            Activation.None => 1,
            _ => throw GraphException.Unhandled(activation),
        };
    }

    public static Array64 Activate(Activation activation, Array64 x, Array64 dy) =>
        new(x.Shape, [.. x.Values.Zip(dy.Values, (v, d) => d * Derivative(activation, v))]);

    public static Array64 Attention(int heads, Array64 qkv, Array64 y, Array64 dy)
    {
        int images = qkv.Shape[0], positions = qkv.Shape[1] * qkv.Shape[2], channels = qkv.Shape[3] / 3, d = channels / heads;
        var gradient = new Array64(qkv.Shape);
        double scale = 1 / Math.Sqrt(d);
        for (int n = 0; n < images; n++)
        {
            for (int head = 0; head < heads; head++)
            {
                int At(int t, int part, int c) => ((n * positions + t) * heads + head) * 3 * d + part * d + c;
                int Out(int t, int c) => (n * positions + t) * channels + head * d + c;
                for (int t = 0; t < positions; t++)
                {
                    double[] p = new double[positions];
                    for (int s = 0; s < positions; s++)
                        for (int c = 0; c < d; c++) p[s] += scale * qkv[At(t, 0, c)] * qkv[At(s, 1, c)];
                    double largest = p.Aggregate(double.NegativeInfinity, Math.Max), total = p.Sum(v => Math.Exp(v - largest)), delta = 0;
                    for (int c = 0; c < d; c++) delta += dy[Out(t, c)] * y[Out(t, c)];
                    for (int s = 0; s < positions; s++)
                    {
                        double weight = Math.Exp(p[s] - largest) / total, dp = 0;
                        for (int c = 0; c < d; c++) dp += dy[Out(t, c)] * qkv[At(s, 2, c)];
                        double ds = weight * (dp - delta) * scale;
                        for (int c = 0; c < d; c++)
                        {
                            gradient[At(t, 0, c)] += ds * qkv[At(s, 1, c)];
                            gradient[At(s, 1, c)] += ds * qkv[At(t, 0, c)];
                            gradient[At(s, 2, c)] += weight * dy[Out(t, c)];
                        }
                    }
                }
            }
        }
        return gradient;
    }

    public static Array64 Conv2dInput(Conv2dGradInput op, Array64 dy, Array64 weight)
    {
        var dx = new Array64([dy.Shape[0], op.Height, op.Width, weight.Shape[3]]);
        Taps(dx.Shape, dy.Shape, weight.Shape[1], op.Stride, op.Padding, (n, y, x, oy, ox, ky, kx) =>
        {
            for (int o = 0; o < dy.Shape[3]; o++)
                for (int c = 0; c < dx.Shape[3]; c++) dx[n, y, x, c] += dy[n, oy, ox, o] * weight[o, ky, kx, c];
        });
        return dx;
    }

    public static Array64 Conv2dWeight(Conv2dGradWeight op, Array64 x, Array64 dy)
    {
        var dw = new Array64([dy.Shape[3], op.Kernel, op.Kernel, x.Shape[3]]);
        Taps(x.Shape, dy.Shape, op.Kernel, op.Stride, op.Padding, (n, y, xx, oy, ox, ky, kx) =>
        {
            for (int o = 0; o < dy.Shape[3]; o++)
                for (int c = 0; c < x.Shape[3]; c++) dw[o, ky, kx, c] += dy[n, oy, ox, o] * x[n, y, xx, c];
        });
        return dw;
    }

    public static Array64 LinearInput(Array64 dy, Array64 weight)
    {
        var dx = new Array64([dy.Shape[0], weight.Shape[1]]);
        for (int m = 0; m < dx.Shape[0]; m++)
        {
            for (int i = 0; i < dx.Shape[1]; i++)
                for (int o = 0; o < weight.Shape[0]; o++) dx[m, i] += dy[m, o] * weight[o, i];
        }

        return dx;
    }

    public static Array64 LinearWeight(Array64 dy, Array64 x)
    {
        var dw = new Array64([dy.Shape[1], x.Shape[1]]);
        for (int o = 0; o < dw.Shape[0]; o++)
        {
            for (int i = 0; i < dw.Shape[1]; i++)
                for (int m = 0; m < x.Shape[0]; m++) dw[o, i] += dy[m, o] * x[m, i];
        }

        return dw;
    }

    public static Array64 ChannelSum(Array64 x)
    {
        var y = new Array64([x.Shape[^1]]);
        for (int i = 0; i < x.Values.Length; i++) y[i % x.Shape[^1]] += x[i];
        return y;
    }

    /// <summary>[N, 4, C], see <see cref="GroupNormGradSums"/>.</summary>
    public static Array64 GroupNormSums(GroupNormGradSums op, Array64 x, Array64 affine, Array64 normal, Array64 dy)
    {
        int channels = x.Shape[3], size = channels / op.Groups;
        var sums = new Array64([x.Shape[0], 4, channels]);
        double count = (double)x.Shape[1] * x.Shape[2] * size;
        for (int n = 0; n < x.Shape[0]; n++)
        {
            for (int h = 0; h < x.Shape[1]; h++)
            {
                for (int w = 0; w < x.Shape[2]; w++)
                {
                    for (int c = 0; c < channels; c++)
                    {
                        double g = NormCotangent(op.Activation, x, affine, dy, n, h, w, c);
                        sums[n, 0, c] += g;
                        sums[n, 1, c] += g * (normal[n, 0, c] * x[n, h, w, c] + normal[n, 1, c]);
                    }
                }
            }
            for (int c = 0; c < channels; c++)
            {
                for (int k = c / size * size; k < (c / size + 1) * size; k++)
                {
                    sums[n, 2, c] += affine[n, 0, k] * sums[n, 0, k] / count;
                    sums[n, 3, c] += affine[n, 0, k] * sums[n, 1, k] / count;
                }
            }
        }
        return sums;
    }

    public static Array64 GroupNormInput(GroupNormGradInput op, Array64 x, Array64 affine, Array64 normal, Array64 dy, Array64 sums) =>
        ForwardDefinitions.Each(x.Shape, (n, h, w, c) => affine[n, 0, c] * NormCotangent(op.Activation, x, affine, dy, n, h, w, c)
            - sums[n, 2, c] - (normal[n, 0, c] * x[n, h, w, c] + normal[n, 1, c]) * sums[n, 3, c]);

    public static Array64 GroupNormAffine(Array64 sums, Array64? film)
    {
        var y = new Array64([2, sums.Shape[2]]);
        for (int n = 0; n < sums.Shape[0]; n++)
        {
            for (int c = 0; c < sums.Shape[2]; c++)
            {
                double scale = 1 + (film is null ? 0 : film[n, c]);
                y[0, c] += scale * sums[n, 1, c];
                y[1, c] += scale * sums[n, 0, c];
            }
        }
        return y;
    }

    public static Array64 GroupNormFilm(Array64 sums, Array64 gamma, Array64 beta)
    {
        int channels = sums.Shape[2];
        var y = new Array64([sums.Shape[0], 2 * channels]);
        for (int n = 0; n < sums.Shape[0]; n++)
        {
            for (int c = 0; c < channels; c++)
            {
                y[n, c] = gamma[c] * sums[n, 1, c] + beta[c] * sums[n, 0, c];
                y[n, channels + c] = sums[n, 0, c];
            }
        }
        return y;
    }

    /// <summary>[2, C]: mean and biased variance.</summary>
    public static Array64 BatchNormStatistics(Array64 x)
    {
        int channels = x.Shape[3], count = x.Values.Length / Math.Max(1, channels);
        var y = new Array64([2, channels]);
        for (int i = 0; i < x.Values.Length; i++) y[0, i % channels] += x[i] / count;
        for (int i = 0; i < x.Values.Length; i++) y[1, i % channels] += (x[i] - y[0, i % channels]) * (x[i] - y[0, i % channels]) / count;
        return y;
    }

    public static Array64 BatchNormTrain(Array64 x, Array64 gamma, Array64 beta, Array64 statistics, double epsilon) =>
        ForwardDefinitions.Each(x.Shape, (n, h, w, c) => Normal(x[n, h, w, c], statistics, c, epsilon) * gamma[c] + beta[c]);

    public static Array64 BatchNormRunning(BatchNormRunning op, Array64 running, Array64 statistics)
    {
        (int row, double factor) = op.OfBatch();
        return new Array64(running.Shape,
            [.. running.Values.Select((r, c) => (1 - op.Momentum) * r + op.Momentum * factor * statistics[row, c])]);
    }

    public static Array64 BatchNormAffine(Array64 x, Array64 statistics, Array64 dy, double epsilon)
    {
        int channels = x.Shape[3];
        var y = new Array64([2, channels]);
        for (int i = 0; i < x.Values.Length; i++)
        {
            y[0, i % channels] += dy[i] * Normal(x[i], statistics, i % channels, epsilon);
            y[1, i % channels] += dy[i];
        }
        return y;
    }

    public static Array64 BatchNormInput(Array64 x, Array64 gamma, Array64 statistics, Array64 dy, Array64 sums, double epsilon)
    {
        double count = (double)x.Shape[0] * x.Shape[1] * x.Shape[2];
        return ForwardDefinitions.Each(x.Shape, (n, h, w, c) => gamma[c] / Math.Sqrt(statistics[1, c] + epsilon)
            * (dy[n, h, w, c] - sums[1, c] / count - Normal(x[n, h, w, c], statistics, c, epsilon) * sums[0, c] / count));
    }

    public static Array64 Slice(Slice op, Array64 x)
    {
        int channels = x.Shape[^1];
        return new Array64(x.Shape.WithChannels(op.Count),
            [.. x.Values.Where((_, i) => i % channels >= op.Start && i % channels < op.Start + op.Count)]);
    }

    public static Array64 SumRows(RowGroups groups, Array64 dy)
    {
        Array64 dx = ForwardDefinitions.RepeatRows(groups, dy);
        int size = dx.Values.Length / Math.Max(1, groups.Rows);
        for (int i = 0; i < dx.Values.Length; i++) dx[i] *= groups.Weights[i / size];
        return dx;
    }

    public static Array64 AvgPool(AvgPool2dGradInput op, Array64 dy) =>
        ForwardDefinitions.Each([dy.Shape[0], op.Height, op.Width, dy.Shape[3]],
            (n, h, w, c) => h / 2 < dy.Shape[1] && w / 2 < dy.Shape[2] ? dy[n, h / 2, w / 2, c] / 4 : 0);

    public static Array64 Upsample(Array64 dy) =>
        ForwardDefinitions.Each([dy.Shape[0], dy.Shape[1] / 2, dy.Shape[2] / 2, dy.Shape[3]],
            (n, h, w, c) => dy[n, 2 * h, 2 * w, c] + dy[n, 2 * h, 2 * w + 1, c] + dy[n, 2 * h + 1, 2 * w, c]
            + dy[n, 2 * h + 1, 2 * w + 1, c]);

    public static Array64 Embedding(Array64 dy)
    {
        var de = new Array64([dy.Shape[0], dy.Shape[3]]);
        ForwardDefinitions.Each(dy.Shape, (n, h, w, c) => de[n, c] += dy[n, h, w, c]);
        return de;
    }

    public static Array64 Dropout(Dropout op, Array64 x, uint step)
    {
        double kept = 1 / (1 - (double)op.Rate);
        return new Array64(x.Shape, [.. x.Values.Select((v, i) =>
        {
            (uint a, uint b, uint c, uint d) = Philox.Block(
                (uint)((op.First + i) / 4), (uint)((op.First + i) / 4 >> 32), step, 0, op.Seed, op.Stream);
            return (i % 4) switch { 0 => a, 1 => b, 2 => c, _ => d } < op.Threshold ? 0 : v * kept;
        })]);
    }

    public static Array64 MseLoss(Array64 prediction, Array64 target, Array64? weights)
    {
        int row = prediction.Values.Length / prediction.Shape[0];
        double sum = 0;
        for (int i = 0; i < prediction.Values.Length; i++)
            sum += (weights is null ? 1 : weights[i / row]) * (prediction[i] - target[i]) * (prediction[i] - target[i]);
        return new Array64([1], [sum / prediction.Values.Length]);
    }

    public static Array64 MseLossPrediction(Array64 prediction, Array64 target, Array64? weights, double dloss)
    {
        int row = prediction.Values.Length / prediction.Shape[0];
        return new Array64(prediction.Shape, [.. prediction.Values.Select((p, i) =>
            dloss * (weights is null ? 1 : weights[i / row]) * 2 * (p - target[i]) / prediction.Values.Length)]);
    }

    private static double NormCotangent(Activation activation, Array64 x, Array64 affine, Array64 dy, int n, int h, int w, int c) =>
        dy[n, h, w, c] * Derivative(activation, affine[n, 0, c] * x[n, h, w, c] + affine[n, 1, c]);

    private static double Normal(double x, Array64 statistics, int c, double epsilon) =>
        (x - statistics[0, c]) / Math.Sqrt(statistics[1, c] + epsilon);

    // All pairs of an input pixel and an output pixel that a tap joins.
    private static void Taps(
        Shape input, Shape output, int kernel, int stride, int padding, Action<int, int, int, int, int, int, int> visit)
    {
        for (int n = 0; n < output[0]; n++)
        {
            for (int i = 0; i < output[1] * output[2] * kernel * kernel; i++)
            {
                (int pixel, int tap) = Math.DivRem(i, kernel * kernel);
                (int oy, int ox) = Math.DivRem(pixel, output[2]);
                (int ky, int kx) = Math.DivRem(tap, kernel);
                int y = oy * stride - padding + ky, x = ox * stride - padding + kx;
                if (y >= 0 && x >= 0 && y < input[1] && x < input[2]) visit(n, y, x, oy, ox, ky, kx);
            }
        }
    }
}
