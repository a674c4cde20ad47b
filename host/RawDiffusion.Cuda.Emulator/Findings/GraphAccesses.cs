using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>Which global memory a node of a graph touches, for each 256 bytes.</summary>
internal sealed class GraphAccesses
{
    private const int Shift = 8;
    private readonly Dictionary<Allocation, (ulong[] Reads, ulong[] Writes)> touched = [];
    private Allocation? last;
    private (ulong[] Reads, ulong[] Writes) lastMaps;
    private readonly Lock gate = new();

    public void Note(Allocation allocation, ulong offset, long bytes, bool write)
    {
        if (bytes <= 0) return;

        lock (gate)
        {
            if (!ReferenceEquals(allocation, last))
            {
                if (!touched.TryGetValue(allocation, out lastMaps))
                {
                    long words = (allocation.Bytes >> (Shift + 6)) + 1;
                    lastMaps = (new ulong[words], new ulong[words]);
                    touched.Add(allocation, lastMaps);
                }

                last = allocation;
            }

            ulong[] map = write ? lastMaps.Writes : lastMaps.Reads;
            for (ulong chunk = offset >> Shift; chunk <= (offset + (ulong)bytes - 1) >> Shift; chunk++)
            {
                map[chunk >> 6] |= 1ul << (int)(chunk & 63);
            }
        }
    }

    /// <summary>The first memory that both touch, one of them writing; null where there is none.</summary>
    public (Allocation Allocation, ulong Offset)? Conflict(GraphAccesses other)
    {
        foreach ((Allocation allocation, (ulong[] Reads, ulong[] Writes) maps) in touched)
        {
            if (other.touched.TryGetValue(allocation, out (ulong[] Reads, ulong[] Writes) others))
            {
                for (int word = 0; word < maps.Reads.Length; word++)
                {
                    ulong both = (maps.Writes[word] & (others.Reads[word] | others.Writes[word]))
                        | (maps.Reads[word] & others.Writes[word]);
                    if (both != 0)
                    {
                        return (allocation, ((ulong)word * 64 + (ulong)System.Numerics.BitOperations.TrailingZeroCount(both)) << Shift);
                    }
                }
            }
        }

        return null;
    }
}
