namespace RawDiffusion.Formats;

/// <summary>Checks of shapes that come from files.</summary>
internal static class TensorShape
{
    /// <summary>More dimensions than any weight has, few enough that a shape cannot be a way to fill memory.</summary>
    public const int MaxRank = 16;

    /// <summary>The shape as <see cref="Tensor"/> takes it.</summary>
    /// <exception cref="FileFormatException">Too many dimensions, a negative one, or more than 2 GiB.</exception>
    public static int[] Check(FileContent file, string name, TensorType type, ReadOnlySpan<long> shape)
    {
        if (shape.Length > MaxRank) throw file.Error($"tensor '{name}' has {shape.Length} dimensions; at most {MaxRank} are supported");
        long count = 1;
        int[] dimensions = new int[shape.Length];
        for (int i = 0; i < shape.Length; i++)
        {
            long d = shape[i];
            if (d < 0 || d > int.MaxValue || (count *= d) > Array.MaxLength / type.Size())
            {
                throw file.Error($"tensor '{name}' has the shape [{string.Join(", ", shape.ToArray())}]; dimensions must be natural "
                    + "numbers and a tensor at most 2 GiB");
            }

            dimensions[i] = (int)d;
        }
        return dimensions;
    }

    /// <summary>Number of elements of a checked shape.</summary>
    public static long Count(int[] shape) => shape.Aggregate(1L, (count, d) => count * d);
}
