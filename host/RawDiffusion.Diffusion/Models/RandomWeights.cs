using System.Runtime.InteropServices;
using System.Text;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The weights of an untrained network, as PyTorch initialises its layers: convolutions and linear layers uniform in
/// +-1 / sqrt(fan in) (kaiming_uniform with a = sqrt(5)) with biases alike, norms 1 and 0, running statistics 0 and 1.
/// So do the convolutions that the reference starts at zero (<c>zero_module</c>): the output is not constant here. The
/// numbers come from Philox keyed by seed and tensor name, so a tensor does not depend on the others.
/// </summary>
public static class RandomWeights
{
    /// <summary>A state dict of that architecture; values are computed whenever they are read.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="seed">Another seed gives another network.</param>
    public static TensorFile Of(UNetConfig config, uint seed = 0)
    {
        var fanIn = new Dictionary<string, int>(StringComparer.Ordinal); // of each layer's weight, for its bias
        var tensors = new List<KeyValuePair<string, Tensor>>();
        foreach (StateDictEntry entry in StateDict.Of(config))
        {
            (string layer, string kind) = Split(entry.Name);
            if (kind == "weight" && entry.Shape.Count > 1) fanIn[layer] = entry.Shape.Skip(1).Aggregate(1, (product, d) => product * d);
            float bound = fanIn.TryGetValue(layer, out int inputs) ? 1 / MathF.Sqrt(inputs) : 0;
            float centre = bound == 0 && kind is "weight" or "running_var" ? 1 : 0;
            tensors.Add(new(entry.Name, Tensor(entry, centre, bound, seed)));
        }
        return new TensorFile(tensors);
    }

    private static Tensor Tensor(StateDictEntry entry, float centre, float bound, uint seed)
    {
        if (entry.Name.EndsWith(".num_batches_tracked", StringComparison.Ordinal))
            return new Tensor(TensorType.Int64, entry.Shape, bytes => bytes.Clear());
        return new Tensor(TensorType.Float32, entry.Shape, bytes =>
        {
            Span<float> values = MemoryMarshal.Cast<byte, float>(bytes);
            if (bound == 0) values.Fill(centre);
            else Uniform(values, bound, seed, Hash(entry.Name));
        });
    }

    private static void Uniform(Span<float> values, float bound, uint seed, uint stream)
    {
        for (int i = 0; i < values.Length; i += 4)
        {
            (uint a, uint b, uint c, uint d) = Philox.Block((uint)(i / 4), 0, 0, 0, seed, stream);
            ReadOnlySpan<uint> four = [a, b, c, d];
            for (int j = 0; j < Math.Min(4, values.Length - i); j++) values[i + j] = bound * ((four[j] >> 8) * (2f / (1 << 24)) - 1);
        }
    }

    private static (string Layer, string Kind) Split(string name)
    {
        int dot = name.LastIndexOf('.');
        return (name[..dot], name[(dot + 1)..]);
    }

    // FNV-1a.
    private static uint Hash(string text)
    {
        uint hash = 0x811C9DC5;
        foreach (byte b in Encoding.UTF8.GetBytes(text)) hash = (hash ^ b) * 0x01000193;
        return hash;
    }
}
