namespace RawDiffusion.Formats;

/// <summary>Checks of shapes that come from files.</summary>
internal static class TensorShape
{
    /// <summary>More dimensions than any weight has, few enough that a shape cannot be a way to fill memory.</summary>
    public const int MaxRank = 16;

    /// <summary>The shape as <see cref="Tensor"/> takes it.</summary>
    /// <exception cref="FileFormatException">Too many dimensions, a negative one, or more than 2 GiB.</exception>
    public static int[] Check(FileContent file, string name, TensorType type, IReadOnlyList<long> shape)
    {
        if (shape.Count > MaxRank) throw file.Error($"tensor '{name}' has {shape.Count} dimensions; at most {MaxRank} are supported");
        long count = 1;
        foreach (long d in shape)
        {
            if (d < 0 || d > int.MaxValue || (count *= d) > Array.MaxLength / type.Size())
                throw file.Error($"tensor '{name}' has the shape [{string.Join(", ", shape)}]; dimensions must be natural numbers and a tensor at most 2 GiB");
        }
        return [.. shape.Select(d => (int)d)];
    }

    /// <summary>Number of elements of a checked shape.</summary>
    public static long Count(int[] shape) => shape.Aggregate(1L, (count, d) => count * d);
}
