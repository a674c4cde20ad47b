using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// Tensors of an image network as PyTorch stores them, as constants for graphs. What a network lacks is said before it runs.
/// </summary>
/// <param name="what">What the network is called in errors: <c>torchvision's VGG16</c>.</param>
internal sealed class FeatureWeights(string what)
{
    private readonly Dictionary<string, Tensor> tensors = new(StringComparer.Ordinal);
    private readonly List<string> faults = [];

    /// <summary>Adds a tensor under a name; the first of a name stays.</summary>
    public void Add(string name, Tensor tensor) => tensors.TryAdd(name, tensor);

    /// <summary>Notes whether a tensor is there, in this shape.</summary>
    public void Expect(string name, params int[] shape)
    {
        string found = tensors.TryGetValue(name, out Tensor? tensor) ? $"[{string.Join(", ", tensor.Shape)}]" : "none";
        if (tensor is null || !tensor.Shape.SequenceEqual(shape)) faults.Add($"{name} [{string.Join(", ", shape)}], found {found}");
    }

    /// <summary>Ends the expectations.</summary>
    /// <exception cref="CheckpointException">One was not met.</exception>
    public void Require()
    {
        if (faults.Count == 0) return;
        string more = faults.Count > 1 ? $" ({faults.Count} such tensors)" : "";
        throw new CheckpointException($"expected the tensors of {what}: {faults[0]}{more}");
    }

    /// <summary>A tensor's values in its own order.</summary>
    /// <exception cref="CheckpointException">One is not finite.</exception>
    public float[] Read(string name)
    {
        float[] values = tensors[name].ToSingles();
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        return bad < 0 ? values : throw new CheckpointException($"{what}: expected finite weights, found {values[bad]} in {name}[{bad}]");
    }

    /// <summary>A bias, or a norm's parameter.</summary>
    public Value Plain(Graph g, string name) => g.Constant(name, [.. tensors[name].Shape], destination => Read(name).CopyTo(destination));

    /// <summary>A convolution's weight [O, I, H, W] as [O, K, K, I] with K = max(H, W); zeros around what is not square.</summary>
    public Value Conv(Graph g, string name)
    {
        IReadOnlyList<int> shape = tensors[name].Shape;
        (int inputs, int height, int width) = (shape[1], shape[2], shape[3]);
        int kernel = Math.Max(height, width), top = (kernel - height) / 2, left = (kernel - width) / 2;
        return g.Constant(name, [shape[0], kernel, kernel, inputs], destination =>
        {
            float[] oihw = Read(name);
            destination.Clear();
            for (int i = 0; i < oihw.Length; i++)
            {
                (int outer, int x) = Math.DivRem(i, width);
                (outer, int y) = Math.DivRem(outer, height);
                (int o, int c) = Math.DivRem(outer, inputs);
                destination[((o * kernel + top + y) * kernel + left + x) * inputs + c] = oihw[i];
            }
        });
    }
}
