using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>
/// The tensors of an image network as constants for graphs. Files may hold more, such as a classifier; what they lack is said before
/// anything runs, and a number that is not finite when it is read.
/// </summary>
internal sealed class FeatureWeights : IWeights
{
    private readonly string what;
    private readonly Dictionary<string, Tensor> stored = new(StringComparer.Ordinal);

    /// <summary>Takes a network's tensors.</summary>
    /// <param name="what">What the network is called in errors: <c>torchvision's VGG16</c>.</param>
    /// <param name="stored">What files hold; the first of a name counts.</param>
    /// <param name="declared">What the network needs. Counters of batches need not be there.</param>
    /// <exception cref="CheckpointException">Tensors are missing or have other shapes.</exception>
    public FeatureWeights(string what, IEnumerable<KeyValuePair<string, Tensor>> stored, IReadOnlyList<NetworkTensor> declared)
    {
        this.what = what;
        foreach ((string name, Tensor tensor) in stored) this.stored.TryAdd(name, tensor);
        string[] faults = [.. declared.Where(t => t.Kind != TensorKind.Counter).SelectMany(Fault)];
        if (faults.Length == 0) return;
        string more = faults.Length > 1 ? $" ({faults.Length} such tensors)" : "";
        throw new CheckpointException($"expected the tensors of {what}: {faults[0]}{more}");
    }

    /// <summary>A tensor's values in the checkpoint's order.</summary>
    /// <exception cref="CheckpointException">One is not finite.</exception>
    public float[] Read(string name)
    {
        float[] values = stored[name].ToSingles();
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        return bad < 0 ? values : throw new CheckpointException($"{what}: expected finite weights, found {values[bad]} in {name}[{bad}]");
    }

    /// <inheritdoc/>
    public Value Tensor(Graph g, NetworkTensor tensor) => g.Constant(tensor.Name, tensor.Layout, destination =>
    {
        Read(tensor.Name).CopyTo(destination);
        tensor.ToEngine(destination);
    });

    private IEnumerable<string> Fault(NetworkTensor expected)
    {
        IReadOnlyList<int>? found = stored.GetValueOrDefault(expected.Name)?.Shape;
        if (found is not null && found.SequenceEqual(expected.Shape)) yield break;
        yield return $"{expected.Name} {TensorCheck.Text(expected.Shape)}, found {(found is null ? "none" : TensorCheck.Text(found))}";
    }
}
