using System.Numerics;
using System.Runtime.InteropServices;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// A checkpoint's tensors as constants of a graph, in the engine's layouts: convolutions OHWI (PyTorch has OIHW), 1-D
/// convolutions of kernel 1 as 1x1 convolutions, the encoder's linear layer with its columns in H, W, C order (PyTorch
/// flattens C, H, W). Tensors are read when a device compiles the graph, and each is looked through for NaN and infinity.
/// </summary>
public sealed class ModelWeights(TensorFile file) : INetworkWeights
{
    private readonly SortedDictionary<string, string> nonFinite = new(StringComparer.Ordinal);

    /// <summary>Tensors read so far that hold a NaN or an infinity: name and first index.</summary>
    public IReadOnlyDictionary<string, string> NonFinite => nonFinite;

    /// <inheritdoc/>
    public Value Plain(Graph g, string name) => g.Constant(name, [.. file[name].Shape], destination => Read(name, destination));

    /// <inheritdoc/>
    public Value Conv(Graph g, string name)
    {
        IReadOnlyList<int> shape = file[name].Shape;
        int taps = shape.Skip(2).Aggregate(1, (product, d) => product * d);
        int kernel = shape.Count == 4 ? shape[2] : 1;
        return g.Constant(name, [shape[0], kernel, kernel, shape[1]], destination => Read(name, destination, shape[0], shape[1], taps));
    }

    /// <inheritdoc/>
    public Value Flattened(Graph g, string name, int channels)
    {
        IReadOnlyList<int> shape = file[name].Shape;
        return g.Constant(name, [shape[0], shape[1]], destination => Read(name, destination, shape[0], channels, shape[1] / channels));
    }

    private void Read(string name, Span<float> destination)
    {
        file[name].CopyTo(destination);
        Check(name, destination);
    }

    private void Read(string name, Span<float> destination, int rows, int a, int b)
    {
        Read(name, destination);
        WeightLayout.Transpose(destination, rows, a, b);
    }

    private void Check(string name, ReadOnlySpan<float> values)
    {
        // x - x is 0 for every finite x and NaN for the others, so one sum tells.
        Vector<float> sum = Vector<float>.Zero;
        ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        foreach (Vector<float> v in vectors) sum += v - v;
        float rest = Vector.Sum(sum);
        foreach (float value in values[(vectors.Length * Vector<float>.Count)..]) rest += value - value;
        if (rest == 0) return;
        for (int i = 0; i < values.Length; i++)
        {
            if (float.IsFinite(values[i])) continue;
            nonFinite.TryAdd(name, $"{name}[{i}] is {values[i]}");
            return;
        }
    }
}
