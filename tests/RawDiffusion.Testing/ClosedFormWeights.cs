using System.Runtime.InteropServices;
using System.Text;
using RawDiffusion.Formats;

namespace RawDiffusion.Testing;

/// <summary>
/// The weights of the golden models that come from a formula instead of a file: each element is a hash of its tensor's
/// name and its index. tests/goldens/README.md has the definition; its hashes and checksums are this class's tests.
/// </summary>
public static class ClosedFormWeights
{
    /// <summary>A golden model's state dict with closed-form values, as if read from a checkpoint.</summary>
    /// <param name="config">A, B, C or tiny_cf.</param>
    /// <param name="salt">Makes another model of the same architecture; "x2/" is the second model of the goldens.</param>
    public static TensorFile StateDict(string config, string salt = "") =>
        new(Goldens.Manifest(config).Select(entry => KeyValuePair.Create(entry.Name, Tensor(entry.Name, entry.Shape, salt))));

    /// <summary>One tensor; its values are computed whenever they are read, so a large model takes no memory.</summary>
    /// <param name="name">The state-dict name, which decides the values.</param>
    /// <param name="shape">Its dimensions.</param>
    /// <param name="salt">Put before the name.</param>
    public static Tensor Tensor(string name, IReadOnlyList<int> shape, string salt = "") =>
        name.EndsWith(".num_batches_tracked", StringComparison.Ordinal)
            ? new Tensor(TensorType.Int64, shape, bytes => bytes.Clear())
            : new Tensor(TensorType.Float32, shape, bytes => Fill(name, shape, salt, MemoryMarshal.Cast<byte, float>(bytes)));

    /// <summary>The 32-bit FNV-1a hash of a string's UTF-8 bytes.</summary>
    public static uint Fnv1a32(string text)
    {
        uint hash = 0x811C9DC5;
        foreach (byte b in Encoding.UTF8.GetBytes(text)) hash = (hash ^ b) * 0x01000193;
        return hash;
    }

    /// <summary>A bijective mix of 32 bits.</summary>
    public static uint Hash32(uint x)
    {
        x ^= x >> 16;
        x *= 0x7FEB352D;
        x ^= x >> 15;
        x *= 0x846CA68B;
        return x ^ (x >> 16);
    }

    private static void Fill(string name, IReadOnlyList<int> shape, string salt, Span<float> values)
    {
        (double offset, double scale, bool absolute) = Distribution(name, shape);
        uint x = Fnv1a32(salt + name);
        for (int i = 0; i < values.Length; i++, x += 2654435761)
        {
            double u = (Hash32(x) >> 8) * (1.0 / (1 << 24)) - 0.5;
            values[i] = (float)(offset + scale * (absolute ? Math.Abs(u) : u));
        }
    }

    private static (double Offset, double Scale, bool Absolute) Distribution(string name, IReadOnlyList<int> shape)
    {
        if (name.EndsWith(".running_var", StringComparison.Ordinal)) return (1, 1, true);
        if (!name.EndsWith(".weight", StringComparison.Ordinal)) return (0, 0.1, false);
        if (shape.Count == 1) return (1, 0.2, false);
        double fanIn = shape.Skip(1).Aggregate(1.0, (product, dimension) => product * dimension);
        double gain = name.StartsWith("latent_encoder.", StringComparison.Ordinal) ? 6 : 3;
        return (0, 2 * Math.Sqrt(gain / fanIn), false);
    }
}
