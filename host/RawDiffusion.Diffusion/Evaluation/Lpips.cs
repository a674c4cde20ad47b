using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018): features of AlexNet or VGG16 at five depths,
/// normalised over channels at each position, squared differences weighted by the linear layers, mean over positions, sum over
/// depths.
/// </summary>
public sealed class Lpips : IDisposable
{
    private const int Taps = 5;
    private const int PairsAtOnce = 8;
    private const double Epsilon = 1e-10;

    // The scaling layer of the authors' lpips.py, for images in [-1, 1].
    private static readonly float[] Shift = [-0.030f, -0.088f, -0.188f];
    private static readonly float[] Scale = [0.458f, 0.448f, 0.450f];

    // Convolutions by their index in torchvision's features: outputs, kernel, stride, padding; whether a pool comes before, a tap after.
    private static readonly Layer[] AlexLayers =
        [new(0, 64, 11, 4, 2), new(3, 192, 5, 1, 2, Pool: true), new(6, 384, 3, 1, 1, Pool: true), new(8, 256, 3, 1, 1),
        new(10, 256, 3, 1, 1)];

    private static readonly Layer[] VggLayers =
    [
        new(0, 64, 3, 1, 1, Tap: false), new(2, 64, 3, 1, 1),
        new(5, 128, 3, 1, 1, Pool: true, Tap: false), new(7, 128, 3, 1, 1),
        new(10, 256, 3, 1, 1, Pool: true, Tap: false), new(12, 256, 3, 1, 1, Tap: false), new(14, 256, 3, 1, 1),
        new(17, 512, 3, 1, 1, Pool: true, Tap: false), new(19, 512, 3, 1, 1, Tap: false), new(21, 512, 3, 1, 1),
        new(24, 512, 3, 1, 1, Pool: true, Tap: false), new(26, 512, 3, 1, 1, Tap: false), new(28, 512, 3, 1, 1),
    ];

    private readonly IReadOnlyList<TensorFile> files;
    private readonly FeatureWeights weights;
    private readonly Layer[] layers;
    private readonly float[][] linear;

    /// <summary>
    /// Takes weights from one file with everything, a state dict of the lpips package, or from two: torchvision's AlexNet or
    /// VGG16 (<c>features.0.weight</c>, ..) and the package's linear layers (<c>lin0.model.1.weight</c>, ..).
    /// </summary>
    /// <param name="files">Open files, owned from now on.</param>
    /// <exception cref="CheckpointException">Tensors are missing or have other shapes.</exception>
    public Lpips(IReadOnlyList<TensorFile> files)
    {
        this.files = files;
        try
        {
            bool alex = files.Any(f => f.Names.Any(n => Canonical(n) == "0.weight" && f[n].Shape.LastOrDefault() == 11));
            Network = alex ? "AlexNet" : "VGG16";
            layers = alex ? AlexLayers : VggLayers;
            weights = new FeatureWeights($"torchvision's {Network} and its LPIPS layers",
                from file in files
                from name in file.Names
                let canonical = Canonical(name)
                where canonical is not null
                select KeyValuePair.Create(canonical, file[name]),
                Manifest.Of((g, recorder) =>
                {
                    (int side, int channels) = Entry(SmallestSide);
                    List<Value> taps = Build(g, recorder, g.Input("x", [1, side, side, channels]));
                    for (int k = 0; k < Taps; k++) recorder.Conv(g, Linear(k), taps[k].Shape[^1], 1, kernel: 1, bias: false);
                }));
            linear = [.. Enumerable.Range(0, Taps).Select(k => weights.Read($"{Linear(k)}.weight"))];
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>AlexNet or VGG16.</summary>
    public string Network { get; }

    /// <summary>The least width and height of an image.</summary>
    public int SmallestSide => layers == AlexLayers ? 31 : 16;

    /// <summary>Distances of pairs of images.</summary>
    /// <param name="device">Device to run on.</param>
    /// <param name="first">[N, S, S, 3], values in [0, 1].</param>
    /// <param name="second">[N, S, S, 3].</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="pairDone">Called after each pair.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>[N].</returns>
    /// <exception cref="ArgumentException">The images are too small, or not as many.</exception>
    public double[] Distances(
        IDevice device, ReadOnlySpan<float> first, ReadOnlySpan<float> second, int size, Action? pairDone = null,
            CancellationToken cancellation = default)
    {
        int length = 3 * size * size;
        if (size < SmallestSide)
        {
            throw new ArgumentException(
                $"LPIPS with {Network} needs images of at least {SmallestSide} x {SmallestSide} pixels, found {size} x {size}");
        }
        if (first.Length != second.Length || first.Length % length != 0)
            throw new ArgumentException($"{first.Length} and {second.Length} values are not pairs of {size} x {size} images");
        int count = first.Length / length, atOnce = Math.Min(PairsAtOnce, count);
        double[] distances = new double[count];
        if (count == 0) return distances;
        (int side, int channels) = Entry(size);
        var g = new Graph();
        Value x = g.Input("x", [2 * atOnce, side, side, channels]);
        List<Value> taps = Build(g, weights, x);
        for (int k = 0; k < Taps; k++) g.Output($"tap{k}", taps[k]);
        using IExecutable executable = device.Compile(g);
        float[] entered = new float[x.Shape.Count];
        float[][] features = [.. taps.Select(t => new float[t.Shape.Count])];
        for (int begin = 0; begin < count; begin += atOnce)
        {
            int pairs = Math.Min(atOnce, count - begin);
            for (int i = 0; i < pairs; i++)
            {
                Enter(first.Slice((begin + i) * length, length), size, entered.AsSpan(2 * i * side * side * channels));
                Enter(second.Slice((begin + i) * length, length), size, entered.AsSpan((2 * i + 1) * side * side * channels));
            }
            executable.Write("x", entered);
            executable.Run(cancellation);
            for (int k = 0; k < Taps; k++)
            {
                executable.Read($"tap{k}", features[k]);
                int map = features[k].Length / (2 * atOnce);
                for (int i = 0; i < pairs; i++)
                {
                    distances[begin + i] += Distance(
                        features[k].AsSpan(2 * i * map, map), features[k].AsSpan((2 * i + 1) * map, map), linear[k]);
                }
            }
            for (int i = 0; i < pairs; i++) pairDone?.Invoke();
        }
        return distances;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TensorFile file in files) file.Dispose();
    }

    // The engine's convolutions have stride 1 or 2. AlexNet's first, 11 x 11 with stride 4, is one of 3 x 3 with stride 1 over
    // blocks of 4 x 4 pixels: the image is entered padded, its blocks as 48 channels, and the kernel is 12 x 12 with zeros.
    private (int Side, int Channels) Entry(int size)
    {
        Layer entry = layers[0];
        if (entry.Stride == 1) return (size, 3);
        int output = (size + 2 * entry.Padding - entry.Kernel) / entry.Stride + 1;
        return (output + BlockedKernel(entry) - 1, 3 * entry.Stride * entry.Stride);
    }

    private static int BlockedKernel(Layer layer) => (layer.Kernel + layer.Stride - 1) / layer.Stride;

    private void Enter(ReadOnlySpan<float> image, int size, Span<float> entered)
    {
        (int side, int channels) = Entry(size);
        (int block, int padding) = layers[0].Stride == 1 ? (1, 0) : (layers[0].Stride, layers[0].Padding);
        entered[..(side * side * channels)].Clear();
        for (int y = 0; y < size; y++)
        {
            for (int x = 0; x < size; x++)
            {
                (int row, int column) = ((y + padding) / block, (x + padding) / block);
                if (row >= side || column >= side) continue;
                int part = (y + padding) % block * block + (x + padding) % block;
                for (int c = 0; c < 3; c++)
                {
                    entered[(row * side + column) * channels + part * 3 + c] = (
                        2 * image[(y * size + x) * 3 + c] - 1 - Shift[c]) / Scale[c];
                }
            }
        }
    }

    private List<Value> Build(Graph g, IWeights weights, Value x)
    {
        List<Value> taps = [];
        (int poolKernel, int poolStride) = layers == AlexLayers ? (3, 2) : (2, 2);
        foreach (Layer layer in layers)
        {
            if (layer.Pool) x = g.Pool2d(x, PoolKind.Max, poolKernel, poolStride);
            (Value weight, Value? bias) = layer.Stride == 1
                ? weights.Conv(g, $"{layer.Index}", x.Shape[3], layer.Outputs, layer.Kernel)
                : Blocked(g, weights, layer);
            x = g.Relu(g.Conv2d(x, weight, bias, 1, layer.Stride == 1 ? layer.Padding : 0));
            if (layer.Tap) taps.Add(x);
        }
        return taps;
    }

    private static (Value Weight, Value? Bias) Blocked(Graph g, IWeights weights, Layer layer)
    {
        (int block, int kernel, int channels) = (layer.Stride, BlockedKernel(layer), 3 * layer.Stride * layer.Stride);
        int[] shape = [layer.Outputs, 3, layer.Kernel, layer.Kernel];
        var weight = new NetworkTensor($"{layer.Index}.weight", shape, [layer.Outputs, kernel, kernel, channels])
        {
            Arrange = (oihw, blocked) =>
            {
                for (int i = 0; i < oihw.Length; i++)
                {
                    (int outer, int x) = Math.DivRem(i, layer.Kernel);
                    (outer, int y) = Math.DivRem(outer, layer.Kernel);
                    (int o, int c) = Math.DivRem(outer, 3);
                    int tap = (o * kernel + y / block) * kernel + x / block;
                    blocked[tap * channels + (y % block * block + x % block) * 3 + c] = oihw[i];
                }
            },
        };
        return (weights.Tensor(g, weight), weights.Tensor(g, new NetworkTensor($"{layer.Index}.bias", [layer.Outputs], [layer.Outputs])));
    }

    private static double Distance(ReadOnlySpan<float> a, ReadOnlySpan<float> b, float[] weight)
    {
        double sum = 0;
        for (int p = 0; p < a.Length; p += weight.Length)
        {
            (double aa, double bb) = (0, 0);
            for (int c = 0; c < weight.Length; c++)
            {
                aa += (double)a[p + c] * a[p + c];
                bb += (double)b[p + c] * b[p + c];
            }
            (aa, bb) = (Math.Sqrt(aa) + Epsilon, Math.Sqrt(bb) + Epsilon);
            for (int c = 0; c < weight.Length; c++)
            {
                double d = a[p + c] / aa - b[p + c] / bb;
                sum += weight[c] * d * d;
            }
        }
        return sum / (a.Length / weight.Length);
    }

    private static string Linear(int tap) => $"lin{tap}.model.1";

    // features.3.weight of torchvision and net.slice2.3.weight of the lpips package are 3.weight here.
    private static string? Canonical(string name)
    {
        if (name.StartsWith("features.", StringComparison.Ordinal)) return name["features.".Length..];
        if (name.StartsWith("net.slice", StringComparison.Ordinal)) return name[(name.IndexOf('.', "net.slice".Length) + 1)..];
        return name.StartsWith("lin", StringComparison.Ordinal) ? name : null;
    }

    private sealed record Layer(int Index, int Outputs, int Kernel, int Stride, int Padding, bool Pool = false, bool Tap = true);
}
