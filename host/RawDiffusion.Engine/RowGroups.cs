namespace RawDiffusion.Engine;

/// <summary>
/// Splits the rows of a batch into groups: group n is <see cref="Counts"/>[n] rows that stand together, and a sum over it takes
/// each row by its weight.
/// </summary>
public sealed class RowGroups
{
    /// <summary>Makes groups from the number of rows of each and the weight of each row.</summary>
    /// <exception cref="GraphException">A count is less than 0, or the weights are not as many as the rows.</exception>
    public RowGroups(IReadOnlyList<int> counts, IReadOnlyList<float> weights)
    {
        Counts = [.. counts];
        Weights = [.. weights];
        if (Counts.Any(c => c < 0) || Counts.Sum() != Weights.Count)
            throw new GraphException($"row counts [{string.Join(", ", Counts)}] do not fit {Weights.Count} weights");
        int[] owner = new int[Weights.Count];
        for (int n = 0, r = 0; n < Counts.Count; n++)
            for (int k = 0; k < Counts[n]; k++) owner[r++] = n;
        Owner = owner;
    }

    /// <summary>Rows of each group.</summary>
    public IReadOnlyList<int> Counts { get; }

    /// <summary>Weight of each row.</summary>
    public IReadOnlyList<float> Weights { get; }

    /// <summary>Group of each row.</summary>
    public IReadOnlyList<int> Owner { get; }

    /// <summary>Number of groups.</summary>
    public int Count => Counts.Count;

    /// <summary>Number of rows.</summary>
    public int Rows => Weights.Count;

    /// <summary>Groups of equal size with equal weights, so that a sum over a group is its mean.</summary>
    /// <param name="groups">Number of groups.</param>
    /// <param name="size">Rows of each.</param>
    public static RowGroups Mean(int groups, int size) =>
        new([.. Enumerable.Repeat(size, groups)], [.. Enumerable.Repeat(1f / size, groups * size)]);
}
