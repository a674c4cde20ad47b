using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// Weights in the order in which <c>conv2d_forward</c> copies them: [chunk][ky][kx][output channel][channel of the chunk] in
/// the compute format, zero beyond the last channels. Constants are packed here, once; others by <c>conv2d_pack</c>.
/// </summary>
/// <param name="Compute">Compute format: float, tf32, bf16 or f16.</param>
/// <param name="Chunk">Channels of a chunk.</param>
/// <param name="Columns">What the output channels are padded to a multiple of.</param>
/// <param name="Transpose">For the gradient of the input: taps flipped, input and output channels exchanged.</param>
internal sealed record ConvWeights(string Compute, int Chunk, int Columns, bool Transpose)
{
    private int ElementBytes => Compute is "bf16" or "f16" ? 2 : 4;

    /// <summary>The packed weights; adds a launch where they are not constant.</summary>
    /// <param name="weight">[O, K, K, C].</param>
    /// <param name="context">Where to upload or compute.</param>
    public DeviceRange Pack(Value weight, LaunchContext context)
    {
        if (weight.IsConstant) return context.Constant(weight, $"conv2d {this}", data => Pack(data, weight.Shape));
        int elements = Elements(weight.Shape);
        (int o, int c) = Channels(weight.Shape);
        DeviceRange packed = context.Scratch((long)elements * ElementBytes);
        context.Kernel("conv2d.cu", "conv2d_pack")
            .Type("W_T", context.StorageOf(weight)).Define("COMPUTE_T", Compute is "tf32" ? "float" : Compute)
            .Define("ROUND_TF32", Compute is "tf32")
            .Define("KERNEL_SIZE", weight.Shape[1]).Define("CHUNK", Chunk).Define("TRANSPOSE", Transpose)
            .Read(weight).Write(packed).Argument(elements)
            .Extent("O", o).Extent("PADDED_O", Padded(o)).Extent("C", c)
            .Launch((elements + 255) / 256, 256);
        return packed;
    }

    internal byte[] Pack(float[] weight, Shape shape)
    {
        (int outputs, int channels) = Channels(shape);
        int kernel = shape[1], taps = kernel * kernel, padded = Padded(outputs);
        byte[] packed = new byte[Elements(shape) * ElementBytes];
        Parallel.For(0, ConvTile.Ceiling(channels, Chunk) * taps, row =>
        {
            int tap = row % taps, first = row / taps * Chunk;
            for (int o = 0; o < outputs; o++)
            {
                Span<byte> target = packed.AsSpan((row * padded + o) * Chunk * ElementBytes);
                for (int k = 0; k < Math.Min(Chunk, channels - first); k++)
                {
                    int c = first + k;
                    Write(target[(k * ElementBytes)..],
                        weight[Transpose ? (c * taps + taps - 1 - tap) * outputs + o : (o * taps + tap) * channels + c]);
                }
            }
        });
        return packed;
    }

    private (int Outputs, int Channels) Channels(Shape shape) => Transpose ? (shape[3], shape[0]) : (shape[0], shape[3]);

    private int Padded(int outputs) => ConvTile.Ceiling(outputs, Columns) * Columns;

    private int Elements(Shape shape)
    {
        (int outputs, int channels) = Channels(shape);
        return checked(ConvTile.Ceiling(channels, Chunk) * Chunk * shape[1] * shape[2] * Padded(outputs));
    }

    private void Write(Span<byte> target, float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        switch (Compute)
        {
            case "bf16":
                // To nearest, ties to even; a NaN stays one.
                ushort rounded = float.IsNaN(value) ? (ushort)0x7fc0 : (ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
                MemoryMarshal.Write(target, rounded);
                break;
            case "f16":
                MemoryMarshal.Write(target, (Half)value);
                break;
            case "tf32":
                MemoryMarshal.Write(target, float.IsFinite(value) ? (bits + 0x1000) & ~0x1fffu : bits);
                break;
            case "float":
                MemoryMarshal.Write(target, value);
                break;
            default:
                throw new InvalidOperationException($"there is no compute format '{Compute}'");
        }
    }
}
