using RawDiffusion.Cuda.Launches;

namespace RawDiffusion.Cuda;

/// <summary>
/// Which earlier steps each step of a list must wait for: those that write what it touches, and those that read what it
/// writes. Steps that touch no common memory stay independent, and the driver may run them side by side.
/// </summary>
internal sealed class LaunchDependencies
{
    private readonly List<(IReadOnlyList<DeviceRange> Reads, IReadOnlyList<DeviceRange> Writes)> steps = [];
    private readonly List<HashSet<int>> ancestors = [];

    /// <summary>Appends a step; gives the steps it waits for directly, none of which follows from the others.</summary>
    public IReadOnlyList<int> Add(IReadOnlyList<DeviceRange> reads, IReadOnlyList<DeviceRange> writes)
    {
        var direct = new List<int>();
        var all = new HashSet<int>();
        // Latest first: whoever is waited for through another needs no edge.
        for (int i = steps.Count - 1; i >= 0; i--)
        {
            if (all.Contains(i) || !Conflict(steps[i], (reads, writes))) continue;
            direct.Add(i);
            all.Add(i);
            all.UnionWith(ancestors[i]);
        }
        steps.Add((reads, writes));
        ancestors.Add(all);
        return direct;
    }

    private static bool Conflict(
        (IReadOnlyList<DeviceRange> Reads, IReadOnlyList<DeviceRange> Writes) first,
        (IReadOnlyList<DeviceRange> Reads, IReadOnlyList<DeviceRange> Writes) second) =>
        Overlap(first.Writes, second.Reads) || Overlap(first.Writes, second.Writes) || Overlap(first.Reads, second.Writes);

    private static bool Overlap(IReadOnlyList<DeviceRange> a, IReadOnlyList<DeviceRange> b)
    {
        foreach (DeviceRange x in a)
        {
            foreach (DeviceRange y in b)
                if (x.Overlaps(y)) return true;
        }

        return false;
    }
}
