using System.Runtime.CompilerServices;

namespace RawDiffusion.Engine;

/// <summary>The dimensions of a value, outermost first. Images are [N, H, W, C].</summary>
[CollectionBuilder(typeof(Shape), nameof(Create))]
public readonly struct Shape : IEquatable<Shape>
{
    private readonly int[]? dims;

    private Shape(int[] dims) => this.dims = dims;

    /// <summary>Number of dimensions; 0 for a scalar.</summary>
    public int Rank => dims?.Length ?? 0;

    /// <summary>Number of elements; 1 for a scalar.</summary>
    public long Count
    {
        get
        {
            long count = 1;
            foreach (int d in Dimensions) count *= d;
            return count;
        }
    }

    /// <summary>All dimensions.</summary>
    public ReadOnlySpan<int> Dimensions => dims;

    /// <summary>One dimension; negative indices count from the end as in <c>shape[^1]</c>.</summary>
    public int this[Index index] => dims![index];

    /// <summary>Makes a shape; this is what a collection expression calls.</summary>
    /// <exception cref="GraphException">A dimension is negative.</exception>
    public static Shape Create(ReadOnlySpan<int> dimensions)
    {
        var shape = new Shape(dimensions.ToArray());
        foreach (int d in dimensions)
            if (d < 0) throw new GraphException($"dimensions cannot be negative: {shape}");
        return shape;
    }

    /// <summary>The same shape with another first dimension.</summary>
    public Shape WithRows(int rows) => [rows, .. Dimensions[1..]];

    /// <summary>The same shape with another last dimension.</summary>
    public Shape WithChannels(int channels) => [.. Dimensions[..^1], channels];

    /// <summary>Enumerates the dimensions.</summary>
    public ReadOnlySpan<int>.Enumerator GetEnumerator() => Dimensions.GetEnumerator();

    /// <inheritdoc/>
    public bool Equals(Shape other) => Dimensions.SequenceEqual(other.Dimensions);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (int d in Dimensions) hash.Add(d);
        return hash.ToHashCode();
    }

    /// <summary>As PyTorch writes it: [2, 64, 64, 3].</summary>
    public override string ToString() => $"[{string.Join(", ", dims ?? [])}]";

    /// <summary>Dimension by dimension equality.</summary>
    public static bool operator ==(Shape a, Shape b) => a.Equals(b);

    /// <summary>Negated <c>==</c>.</summary>
    public static bool operator !=(Shape a, Shape b) => !a.Equals(b);
}
