using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>
/// Who touched which shared memory when, for each two bytes. Time is a logical clock per warp that every barrier and
/// __syncwarp advances; <c>seen[w][v]</c> is up to which time of warp v warp w is ordered after it (vector clocks of warps).
/// An access conflicts with an earlier one of another thread unless the earlier one's time lies before what the later
/// one's warp has seen. Shuffles and votes order nothing, as the PTX memory model has it.
/// </summary>
/// <remarks>
/// A tag is time (19 bits), who (11 bits), which of the two bytes (2 bits). Two threads that touch different bytes of a
/// pair do not conflict. "Who" is a thread, or several threads of one warp, or several warps, or atomics, or a pending
/// asynchronous copy. Zero: nobody.
/// </remarks>
internal sealed unsafe class SharedRaces : IDisposable
{
    public const uint SeveralWarps = 1024;
    public const uint SeveralOfWarp = 1025;
    public const uint Atomic = 1060;
    public const uint Pending = 1061;

    /// <summary>The bits of a tag that hold the time.</summary>
    public const uint TimeMask = ~0u << TimeShift;

    private const int WhoShift = 2;
    private const int TimeShift = 13;
    private const uint MaxTime = (1 << 19) - 2;
    private const uint PendingTag = ((MaxTime + 1) << TimeShift) | (Pending << WhoShift) | 3;

    private readonly uint[] seen = new uint[32 * 32];
    private readonly uint[] oldest = new uint[32];
    private int capacity;
    private int warps;

    /// <summary>Tag of the last write to each pair of bytes.</summary>
    public uint* Writers { get; private set; }

    /// <summary>Tag of the last reads of each pair of bytes.</summary>
    public uint* Readers { get; private set; }

    public void Reset(int bytes, int warpCount)
    {
        if (Writers == null || bytes > capacity)
        {
            Dispose();
            capacity = bytes;
            nuint size = (nuint)(bytes / 2 + 64) * 4;
            Writers = (uint*)NativeMemory.AlignedAlloc(size, 64);
            Readers = (uint*)NativeMemory.AlignedAlloc(size, 64);
        }

        NativeMemory.Clear(Writers, (nuint)(bytes / 2 + 1) * 4);
        NativeMemory.Clear(Readers, (nuint)(bytes / 2 + 1) * 4);
        warps = warpCount;

        // Nobody has done anything before time 1.
        Array.Fill(seen, 1u);
        Array.Fill(oldest, 1u);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Writers);
        NativeMemory.AlignedFree(Readers);
        Writers = Readers = null;
        capacity = 0;
    }

    /// <summary>Tag of an access by <paramref name="who"/>, a thread or a code, of a warp now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Tag(int warp, uint who) => (seen[warp * 32 + warp] << TimeShift) | (who << WhoShift) | 3;

    /// <summary>Tags below this lie before everything that the warp has not seen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint OrderedBelow(int warp) => oldest[warp] << TimeShift;

    public static bool IsPending(uint tag) => tag == PendingTag;

    /// <summary>Which thread a tag names, or -1 where it names several.</summary>
    public static int Thread(uint tag)
    {
        uint who = (tag >> WhoShift) & 0x7FF;
        return who < SeveralWarps ? (int)who : -1;
    }

    public static bool IsAtomic(uint tag) => ((tag >> WhoShift) & 0x7FF) == Atomic;

    /// <summary>Whether an access of a thread of a warp now is not ordered after the access that left the tag.</summary>
    public bool Conflicts(uint tag, int warp, uint thread, uint bytes)
    {
        if ((tag & bytes & 3) == 0) return false;

        uint time = tag >> TimeShift;
        uint who = (tag >> WhoShift) & 0x7FF;
        if (who < SeveralWarps) return who != thread && time >= seen[warp * 32 + (int)(who >> 5)];

        return who is >= SeveralOfWarp and < SeveralOfWarp + 32
            ? time >= seen[warp * 32 + (int)(who - SeveralOfWarp)]
            : time >= oldest[warp];
    }

    /// <summary>The tag that stands for an earlier read and a new one.</summary>
    public uint Merge(uint old, uint mine, int warp)
    {
        if (old < OrderedBelow(warp) || ((old ^ mine) & ~3u) == 0)
        {
            return old < OrderedBelow(warp) ? mine : old | mine;
        }

        uint who = (old >> WhoShift) & 0x7FF;
        bool sameWarp = who < SeveralWarps ? who >> 5 == (uint)warp : who == SeveralOfWarp + (uint)warp;
        uint time = Math.Max(old >> TimeShift, mine >> TimeShift);
        return (time << TimeShift) | ((sameWarp ? SeveralOfWarp + (uint)warp : SeveralWarps) << WhoShift) | ((old | mine) & 3);
    }

    public void MarkPending(int offset, int bytes)
    {
        for (int pair = offset >> 1; pair < (offset + bytes + 1) >> 1; pair++) Writers[pair] = PendingTag;
    }

    /// <summary>A __syncwarp of all live lanes: lanes of the warp are ordered from here on.</summary>
    public void SyncWarp(int warp)
    {
        seen[warp * 32 + warp]++;
        Forget(warp);
    }

    /// <summary>A barrier: those who arrived are seen by those who wait.</summary>
    public void Barrier(uint arrived, uint waited)
    {
        Span<uint> joined = stackalloc uint[32];
        joined.Clear();
        uint latest = 0;
        for (int warp = 0; warp < warps; warp++)
        {
            if (((arrived >> warp) & 1) != 0)
            {
                for (int other = 0; other < warps; other++)
                {
                    joined[other] = Math.Max(joined[other], seen[warp * 32 + other]);
                }

                joined[warp]++;
            }
        }

        for (int warp = 0; warp < warps; warp++) latest = Math.Max(latest, joined[warp]);

        if (arrived == waited && arrived == All)
        {
            // One time for all keeps the quick test (OrderedBelow) sharp.
            joined[..warps].Fill(latest);
        }

        for (int warp = 0; warp < warps; warp++)
        {
            bool waits = ((waited >> warp) & 1) != 0;
            for (int other = 0; waits && other < warps; other++)
            {
                seen[warp * 32 + other] = Math.Max(seen[warp * 32 + other], joined[other]);
            }

            if (((arrived >> warp) & 1) != 0)
            {
                seen[warp * 32 + warp] = joined[warp];
                Forget(warp);
            }
        }
    }

    private uint All => warps == 32 ? uint.MaxValue : (1u << warps) - 1;

    private void Forget(int warp)
    {
        uint least = uint.MaxValue;
        for (int other = 0; other < warps; other++) least = Math.Min(least, seen[warp * 32 + other]);

        oldest[warp] = least;
        if (seen[warp * 32 + warp] >= MaxTime) Restart();
    }

    // The clocks are full: everything so far becomes ancient. Races across this moment go unseen.
    private void Restart()
    {
        for (int i = 0; i < capacity / 2; i++)
        {
            Writers[i] = Writers[i] == 0 || IsPending(Writers[i]) ? Writers[i] : 3;
            Readers[i] = 0;
        }

        Array.Fill(seen, 1u);
        Array.Fill(oldest, 1u);
    }
}
