using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>What a network's tensor is for.</summary>
public enum TensorKind
{
    /// <summary>It is trained.</summary>
    Parameter,

    /// <summary>A running statistic of a batch norm, which training follows.</summary>
    Statistic,

    /// <summary>The number of batches that a batch norm has seen: a scalar of 64 bits.</summary>
    Counter,
}

/// <summary>A tensor of a network: its name and shape in a checkpoint, how the engine lays it out, and what it holds at first.</summary>
/// <param name="Name">In PyTorch's state dict.</param>
/// <param name="Shape">In PyTorch's order: a convolution's weight is [out, in, height, width], a scalar [].</param>
/// <param name="Layout">Shape in the engine, channels last: a convolution's weight is [out, height, width, in].</param>
public sealed record NetworkTensor(string Name, IReadOnlyList<int> Shape, Shape Layout)
{
    /// <summary>What it is for.</summary>
    public TensorKind Kind { get; init; }

    /// <summary>
    /// Input channels, where a row [channels, positions] of the checkpoint is [positions, channels] in the engine; 1 where the order is
    /// the same.
    /// </summary>
    public int Channels { get; init; } = 1;

    /// <summary>
    /// Where the engine's layout is more than another order: fills it, zeros, from the checkpoint's elements. Such a tensor is only read.
    /// </summary>
    public Action<float[], Span<float>>? Arrange { get; init; }

    /// <summary>Mean of the elements of an untrained network.</summary>
    public float InitialMean { get; init; }

    /// <summary>They are uniform in <see cref="InitialMean"/> +- this.</summary>
    public float InitialBound { get; init; }

    /// <summary>Number of elements in a checkpoint.</summary>
    public long Count => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>From the checkpoint's layout to the engine's.</summary>
    /// <param name="values">As many as <see cref="Layout"/> has; the checkpoint's come first.</param>
    public void ToEngine(Span<float> values)
    {
        if (Arrange is null)
        {
            Transpose(values, Channels, values.Length / (Rows * Channels));
            return;
        }
        float[] stored = values[..(int)Count].ToArray();
        values.Clear();
        Arrange(stored, values);
    }

    /// <summary>From the engine's layout to the checkpoint's.</summary>
    /// <param name="values">All elements.</param>
    /// <exception cref="InvalidOperationException">The tensor is only read.</exception>
    public void ToCheckpoint(Span<float> values)
    {
        if (Arrange is not null) throw new InvalidOperationException($"{Name} has a layout that is only read, and cannot be trained");
        Transpose(values, values.Length / (Rows * Channels), Channels);
    }

    private int Rows => Shape.Count == 0 ? 1 : Shape[0];

    // [Rows, a, b] becomes [Rows, b, a], row by row in place, so that no second copy of a large tensor exists.
    private unsafe void Transpose(Span<float> values, int a, int b)
    {
        if (a == 1 || b == 1) return;
        int count = a * b;
        fixed (float* all = values)
        {
            nint first = (nint)all;
            Parallel.For(0, Rows, () => new float[count], (r, _, copy) =>
            {
                float* row = (float*)first + (nint)r * count;
                new Span<float>(row, count).CopyTo(copy);
                fixed (float* source = copy)
                {
                    for (int j = 0; j < b; j++, row += a)
                    {
                        float* from = source + j;
                        for (int i = 0; i < a; i++, from += b) row[i] = *from;
                    }
                }
                return copy;
            }, _ => { });
        }
    }
}
