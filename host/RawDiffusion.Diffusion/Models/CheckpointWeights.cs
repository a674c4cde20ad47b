using System.Numerics;
using System.Runtime.InteropServices;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// A checkpoint's tensors as constants of a graph. They are read when a device compiles the graph, and each is looked through for NaN and
/// infinity.
/// </summary>
/// <param name="file">Holds all tensors that are declared, in their shapes (<see cref="Checkpoints.TensorCheck"/>).</param>
public sealed class CheckpointWeights(TensorFile file) : IWeights
{
    private readonly SortedDictionary<string, string> nonFinite = new(StringComparer.Ordinal);

    /// <summary>Tensors read so far that hold a NaN or an infinity: name and first index.</summary>
    public IReadOnlyDictionary<string, string> NonFinite => nonFinite;

    /// <inheritdoc/>
    public Value Tensor(Graph g, NetworkTensor tensor) => g.Constant(tensor.Name, tensor.Layout, destination =>
    {
        Span<float> stored = destination[..(int)tensor.Count];
        file[tensor.Name].CopyTo(stored);
        Check(tensor.Name, stored);
        tensor.ToEngine(destination);
    });

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
