using System.Runtime.InteropServices;
using System.Text;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The weights of an untrained network, as PyTorch initialises its layers (<see cref="Layers"/>). So are the convolutions that the
/// reference starts at zero (<c>zero_module</c>): the output is not constant here. The numbers come from Philox keyed by seed and tensor
/// name, so a tensor does not depend on the others.
/// </summary>
public static class RandomWeights
{
    /// <summary>A state dict of such tensors; values are computed whenever they are read.</summary>
    /// <param name="tensors">What the network declares.</param>
    /// <param name="seed">Another seed gives another network.</param>
    public static TensorFile Of(IReadOnlyList<NetworkTensor> tensors, uint seed = 0) =>
        new(tensors.Select(t => KeyValuePair.Create(t.Name, TensorOf(t, seed))));

    private static Tensor TensorOf(NetworkTensor tensor, uint seed)
    {
        if (tensor.Kind == TensorKind.Counter) return new Tensor(TensorType.Int64, tensor.Shape, bytes => bytes.Clear());
        return new Tensor(TensorType.Float32, tensor.Shape, bytes =>
        {
            Span<float> values = MemoryMarshal.Cast<byte, float>(bytes);
            values.Fill(tensor.InitialMean);
            if (tensor.InitialBound > 0) AddUniform(values, tensor.InitialBound, seed, Hash(tensor.Name));
        });
    }

    private static void AddUniform(Span<float> values, float bound, uint seed, uint stream)
    {
        for (int i = 0; i < values.Length; i += 4)
        {
            (uint a, uint b, uint c, uint d) = Philox.Block((uint)(i / 4), 0, 0, 0, seed, stream);
            ReadOnlySpan<uint> four = [a, b, c, d];
            for (int j = 0; j < Math.Min(4, values.Length - i); j++) values[i + j] += bound * ((four[j] >> 8) * (2f / (1 << 24)) - 1);
        }
    }

    // FNV-1a.
    private static uint Hash(string text)
    {
        uint hash = 0x811C9DC5;
        foreach (byte b in Encoding.UTF8.GetBytes(text)) hash = (hash ^ b) * 0x01000193;
        return hash;
    }
}
