using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// The 2048 features before the classifier of the Inception network that FID is defined with, as pytorch-fid's
/// <c>pt_inception-2015-12-05</c> has it: torchvision's Inception v3, but average pools do not count padding, and the last
/// block's pool takes the maximum. Images are resized to 299 x 299 bilinearly, without smoothing.
/// </summary>
public sealed class InceptionFeatures : IDisposable
{
    /// <summary>Features of an image.</summary>
    public const int Width = 2048;

    private const int Side = 299;
    private const int ImagesAtOnce = 4;
    private const float Epsilon = 0.001f;

    private readonly TensorFile file;
    private readonly FeatureWeights weights;

    /// <summary>Takes weights from a state dict.</summary>
    /// <param name="file">Open file, owned from now on.</param>
    /// <exception cref="CheckpointException">Tensors are missing or have other shapes.</exception>
    public InceptionFeatures(TensorFile file)
    {
        this.file = file;
        try
        {
            weights = new FeatureWeights("pytorch-fid's Inception v3 (pt_inception-2015-12-05)",
                file.Names.Select(n => KeyValuePair.Create(n, file[n])), Manifest.Of((g, recorder) => new Network(g, recorder).Build(1)));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Features of images.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="images">[N, S, S, 3], values in [0, 1].</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="imageDone">Called after each image.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>[N, 2048].</returns>
    public float[] Of(IDevice device, ReadOnlySpan<float> images, int size, Action? imageDone = null,
        CancellationToken cancellation = default)
    {
        int length = 3 * size * size, count = images.Length / length;
        if (count * length != images.Length)
            throw new ArgumentException($"{images.Length} values are not images of {size} x {size} pixels");
        float[] features = new float[count * Width];
        if (count == 0) return features;
        int atOnce = Math.Min(ImagesAtOnce, count);
        var g = new Graph();
        Value output = new Network(g, weights).Build(atOnce);
        g.Output("features", output); // [N, 8, 8, 2048]
        using IExecutable executable = device.Compile(g);
        (float[]? x, float[]? map) = (new float[atOnce * Side * Side * 3], new float[output.Shape.Count]);
        for (int first = 0; first < count; first += atOnce)
        {
            int batch = Math.Min(atOnce, count - first);
            for (int i = 0; i < batch; i++) Resize(images.Slice((first + i) * length, length), size, x.AsSpan(i * Side * Side * 3));
            executable.Write("x", x);
            executable.Run(cancellation);
            executable.Read("features", map);
            int positions = map.Length / (atOnce * Width);
            for (int i = 0; i < batch; i++)
            {
                for (int c = 0; c < Width; c++)
                {
                    double sum = 0;
                    for (int p = 0; p < positions; p++) sum += map[(i * positions + p) * Width + c];
                    features[(first + i) * Width + c] = (float)(sum / positions);
                }
                imageDone?.Invoke();
            }
        }
        return features;
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    // As torch.nn.functional.interpolate, mode bilinear, align_corners False; then [0, 1] to [-1, 1].
    private static void Resize(ReadOnlySpan<float> image, int size, Span<float> to)
    {
        double scale = (double)size / Side;
        for (int y = 0; y < Side; y++)
        {
            (int y0, int y1, float fy) = Between(y);
            for (int x = 0; x < Side; x++)
            {
                (int x0, int x1, float fx) = Between(x);
                for (int c = 0; c < 3; c++)
                {
                    float top = image[(y0 * size + x0) * 3 + c] * (1 - fx) + image[(y0 * size + x1) * 3 + c] * fx;
                    float bottom = image[(y1 * size + x0) * 3 + c] * (1 - fx) + image[(y1 * size + x1) * 3 + c] * fx;
                    to[(y * Side + x) * 3 + c] = 2 * (top * (1 - fy) + bottom * fy) - 1;
                }
            }
        }

        (int Low, int High, float Part) Between(int position)
        {
            double at = Math.Max(0, (position + 0.5) * scale - 0.5);
            int low = Math.Min((int)at, size - 1);
            return (low, Math.Min(low + 1, size - 1), (float)(at - low));
        }
    }

    private sealed class Network(Graph g, IWeights weights)
    {
        public Value Build(int count)
        {
            Value x = g.Input("x", [count, Side, Side, 3]);
            x = Conv(x, "Conv2d_1a_3x3", 32, 3, stride: 2, padding: 0);
            x = Conv(x, "Conv2d_2a_3x3", 32, 3, padding: 0);
            x = MaxPool(Conv(x, "Conv2d_2b_3x3", 64, 3));
            x = Conv(x, "Conv2d_3b_1x1", 80, 1);
            x = MaxPool(Conv(x, "Conv2d_4a_3x3", 192, 3, padding: 0));
            x = A(A(A(x, "Mixed_5b", 32), "Mixed_5c", 64), "Mixed_5d", 64);
            x = B(x, "Mixed_6a");
            x = C(C(C(C(x, "Mixed_6b", 128), "Mixed_6c", 160), "Mixed_6d", 160), "Mixed_6e", 192);
            x = D(x, "Mixed_7a");
            x = E(x, "Mixed_7b", PoolKind.Average);
            return E(x, "Mixed_7c", PoolKind.Max);
        }

        private Value A(Value x, string name, int pooled) => Join(
            Conv(x, $"{name}.branch1x1", 64, 1),
            Conv(Conv(x, $"{name}.branch5x5_1", 48, 1), $"{name}.branch5x5_2", 64, 5),
            Conv(Conv(Conv(x, $"{name}.branch3x3dbl_1", 64, 1), $"{name}.branch3x3dbl_2", 96, 3), $"{name}.branch3x3dbl_3", 96, 3),
            Conv(Pool(x, PoolKind.Average), $"{name}.branch_pool", pooled, 1));

        private Value B(Value x, string name) => Join(
            Conv(x, $"{name}.branch3x3", 384, 3, stride: 2, padding: 0),
            Conv(Conv(Conv(x, $"{name}.branch3x3dbl_1", 64, 1), $"{name}.branch3x3dbl_2", 96, 3), $"{name}.branch3x3dbl_3", 96, 3,
            stride: 2, padding: 0),
            MaxPool(x));

        private Value C(Value x, string name, int width)
        {
            Value single = Tall(Wide(Conv(x, $"{name}.branch7x7_1", width, 1), $"{name}.branch7x7_2", width, 7),
                $"{name}.branch7x7_3", 192, 7);
            Value twice = Conv(x, $"{name}.branch7x7dbl_1", width, 1);
            twice = Wide(Tall(twice, $"{name}.branch7x7dbl_2", width, 7), $"{name}.branch7x7dbl_3", width, 7);
            twice = Wide(Tall(twice, $"{name}.branch7x7dbl_4", width, 7), $"{name}.branch7x7dbl_5", 192, 7);
            return Join(Conv(x, $"{name}.branch1x1", 192, 1), single, twice,
                Conv(Pool(x, PoolKind.Average), $"{name}.branch_pool", 192, 1));
        }

        private Value D(Value x, string name)
        {
            Value seven = Conv(x, $"{name}.branch7x7x3_1", 192, 1);
            seven = Tall(Wide(seven, $"{name}.branch7x7x3_2", 192, 7), $"{name}.branch7x7x3_3", 192, 7);
            return Join(
                Conv(Conv(x, $"{name}.branch3x3_1", 192, 1), $"{name}.branch3x3_2", 320, 3, stride: 2, padding: 0),
                Conv(seven, $"{name}.branch7x7x3_4", 192, 3, stride: 2, padding: 0),
                MaxPool(x));
        }

        private Value E(Value x, string name, PoolKind pool)
        {
            Value single = Conv(x, $"{name}.branch3x3_1", 384, 1);
            Value twice = Conv(Conv(x, $"{name}.branch3x3dbl_1", 448, 1), $"{name}.branch3x3dbl_2", 384, 3);
            return Join(
                Conv(x, $"{name}.branch1x1", 320, 1),
                Wide(single, $"{name}.branch3x3_2a", 384, 3), Tall(single, $"{name}.branch3x3_2b", 384, 3),
                Wide(twice, $"{name}.branch3x3dbl_3a", 384, 3), Tall(twice, $"{name}.branch3x3dbl_3b", 384, 3),
                Conv(Pool(x, pool), $"{name}.branch_pool", 192, 1));
        }

        private Value Conv(Value x, string name, int outputs, int kernel, int stride = 1, int? padding = null) =>
            Conv(x, name, outputs, kernel, kernel, stride, padding ?? kernel / 2);

        private Value Wide(Value x, string name, int outputs, int kernel) => Conv(x, name, outputs, 1, kernel, 1, kernel / 2);

        private Value Tall(Value x, string name, int outputs, int kernel) => Conv(x, name, outputs, kernel, 1, 1, kernel / 2);

        private Value Conv(Value x, string name, int outputs, int height, int width, int stride, int padding)
        {
            x = g.Conv2d(x, Kernel($"{name}.conv.weight", x.Shape[3], outputs, height, width), null, stride, padding, name);
            (Value gamma, Value beta, Value mean, Value variance) = weights.BatchNorm(g, $"{name}.bn", outputs);
            return g.Relu(g.BatchNorm(x, gamma, beta, mean, variance, Epsilon, $"{name}.bn"));
        }

        // A kernel that is not square lies in a square one with zeros, for which the padding of its long side is right in both
        // directions.
        private Value Kernel(string name, int inputs, int outputs, int height, int width)
        {
            int kernel = Math.Max(height, width), top = (kernel - height) / 2, left = (kernel - width) / 2;
            return weights.Tensor(g, new NetworkTensor(name, [outputs, inputs, height, width], [outputs, kernel, kernel, inputs])
            {
                Arrange = (oihw, square) =>
                {
                    for (int i = 0; i < oihw.Length; i++)
                    {
                        (int outer, int x) = Math.DivRem(i, width);
                        (outer, int y) = Math.DivRem(outer, height);
                        (int o, int c) = Math.DivRem(outer, inputs);
                        square[((o * kernel + top + y) * kernel + left + x) * inputs + c] = oihw[i];
                    }
                },
            });
        }

        private Value Pool(Value x, PoolKind kind) => g.Pool2d(x, kind, 3, 1, 1);

        private Value MaxPool(Value x) => g.Pool2d(x, PoolKind.Max, 3, 2);

        private Value Join(params ReadOnlySpan<Value> parts)
        {
            Value joined = parts[0];
            foreach (Value part in parts[1..]) joined = g.Concat(joined, part);
            return joined;
        }
    }
}
