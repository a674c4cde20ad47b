using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli;

/// <summary>A process's share of items that are computed one by one: a run of them, as long as the others' or one longer.</summary>
/// <param name="Ranks">The processes; null where there is one.</param>
/// <param name="Total">Items of all.</param>
/// <param name="First">The first of this process.</param>
/// <param name="Count">How many it has.</param>
internal readonly record struct RankShare(ICommunicator? Ranks, int Total, int First, int Count)
{
    /// <summary>The share of this process.</summary>
    public static RankShare Of(ICommunicator? ranks, int total)
    {
        (int first, int count) = Part(total, ranks?.Rank ?? 0, ranks?.Size ?? 1);
        return new RankShare(ranks, total, first, count);
    }

    /// <summary>All processes' results, in all of them.</summary>
    /// <param name="own">Results of this process's items, equally long for each item.</param>
    /// <param name="length">Numbers of an item.</param>
    public float[] Gather(float[] own, int length)
    {
        if (Ranks is null) return own;
        float[] all = new float[Total * length];
        own.CopyTo(all, First * length);
        for (int rank = 0; rank < Ranks.Size; rank++)
        {
            (int first, int count) = Part(Total, rank, Ranks.Size);
            Ranks.Broadcast(MemoryMarshal.AsBytes(all.AsSpan(first * length, count * length)), rank);
        }
        return all;
    }

    private static (int First, int Count) Part(int total, int rank, int size) =>
        (rank * (total / size) + Math.Min(rank, total % size), total / size + (rank < total % size ? 1 : 0));
}
