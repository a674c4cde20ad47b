using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>What an access of global memory met.</summary>
internal enum Conflict
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>An access of another block that nothing orders.</summary>
    Race,

    /// <summary>A read through the read-only cache of what the launch writes.</summary>
    Incoherent,
}

/// <summary>
/// Which blocks of the running launch touched which global memory, for each 8 bytes. Two blocks that touch the same byte,
/// one of them writing, race unless the earlier one released (a fence, then an atomic operation on global memory, by any
/// of its threads) before the later one acquired (an atomic operation, then a fence): the "last block done" pattern.
/// </summary>
/// <remarks>
/// A tag is late, or of a reader incoherent (1 bit), launch (27 bits), block (28 bits), which of the eight bytes (8 bits). Where several
/// blocks write different bytes of the same eight, or several read, the block becomes <see cref="Several"/>; a conflict among those writers
/// is not seen any more. What a block writes after its release is late:
/// nobody can acquire it. Incoherent readers used the read-only cache, which nothing orders after a write of the launch; what
/// others read of the same eight bytes then counts as read so. Atomic operations leave no tags.
/// </remarks>
internal sealed unsafe class BlockRaces(long launch, long blocks, bool enabled)
{
    private const uint Several = (1 << 28) - 1;
    private const ulong Late = 1ul << 63;
    private const ulong Cached = 1ul << 63;
    private readonly ulong epoch = (ulong)(launch & 0x7FF_FFFF) << 36;
    private readonly Lock gate = new();

    // Of each block, from the first atomic operation on: most launches have none, and some have millions of blocks.
    private volatile long[] released = [];
    private volatile long[] observed = [];
    private volatile long[] acquired = [];
    private long sequence;

    public bool Enabled => enabled;

    public bool AnyReleased { get; private set; }

    /// <summary>
    /// Before an atomic operation of a block, which releases where a fence came first. Other blocks run meanwhile: whoever
    /// sees the operation's result must find the release older than its own acquisition.
    /// </summary>
    public void Release(long block)
    {
        // The first release counts: a later one would make those that acquired in between look too early.
        if (!enabled) return;
        Order();
        if (released[block] != 0) return;
        Volatile.Write(ref released[block], Interlocked.Increment(ref sequence));
        AnyReleased = true;
    }

    /// <summary>After an atomic operation of a block.</summary>
    public void Observe(long block)
    {
        if (!enabled) return;
        Order();
        observed[block] = Interlocked.Increment(ref sequence);
    }

    /// <summary>At a fence of a block: what it observed before is acquired.</summary>
    public void Acquire(long block)
    {
        if (acquired.Length > 0) acquired[block] = observed[block];
    }

    private void Order()
    {
        if (acquired.Length > 0) return;
        lock (gate)
        {
            if (acquired.Length > 0) return;
            released = new long[blocks];
            observed = new long[blocks];
            acquired = new long[blocks];
        }
    }

    /// <summary>Notes a read. Bytes must not cross an allocation's end.</summary>
    public Conflict Read(Allocation allocation, ulong offset, long bytes, long block, bool incoherent, ref long fresh)
    {
        Conflict conflict = Conflict.None;
        ulong cached = incoherent ? Cached : 0;
        ulong* writers = allocation.Writers + (offset >> 3);
        ulong* readers = allocation.Readers + (offset >> 3);
        ulong mine = epoch | ((ulong)block << 8);
        int skip = (int)(offset & 7);
        while (bytes > 0)
        {
            ulong mask = Mask(skip, bytes);
            ulong stored = *writers, writer = stored & ~Late;
            if ((writer ^ mine) >> 36 == 0 && (writer & mask) != 0)
            {
                if (incoherent)
                {
                    conflict = Conflict.Incoherent;
                }
                else if ((writer ^ mine) >> 8 != 0 && ((stored & Late) != 0 || !Ordered(BlockOf(writer), block)))
                {
                    conflict = Conflict.Race;
                }
            }

            ulong read = *readers, reader = read & ~Cached;
            if ((reader ^ mine) >> 8 == 0)
            {
                if ((read & (mask | cached)) != (mask | cached)) *readers = read | mask | cached;
            }
            else if ((reader ^ mine) >> 36 != 0)
            {
                *readers = mine | mask | cached;
                fresh += (writer ^ mine) >> 36 != 0 ? 8 : 0;
            }
            else
            {
                // Of bytes that are no two blocks' it is forgotten who read them: each may write its own.
                ulong shared = (reader & mask) != 0 || (BlockOf(reader) == Several && (reader & 0xFF) != 0) ? (reader & 0xFF) | mask : 0;
                *readers = epoch | ((ulong)Several << 8) | (read & Cached) | shared | cached;
            }

            bytes -= 8 - skip;
            skip = 0;
            readers++;
            writers++;
        }

        return conflict;
    }

    /// <summary>Notes a write.</summary>
    public Conflict Write(Allocation allocation, ulong offset, long bytes, long block, ref long fresh)
    {
        Conflict conflict = Conflict.None;
        ulong* writers = allocation.Writers + (offset >> 3);
        ulong* readers = allocation.Readers + (offset >> 3);
        ulong mine = epoch | ((ulong)block << 8);
        ulong late = AnyReleased && released[block] != 0 ? Late : 0;
        int skip = (int)(offset & 7);
        while (bytes > 0)
        {
            ulong mask = Mask(skip, bytes);
            ulong stored = *writers, writer = stored & ~Late, read = *readers, reader = read & ~Cached;
            if ((reader ^ mine) >> 36 == 0 && (reader & mask) != 0)
            {
                if ((read & Cached) != 0)
                {
                    conflict = Conflict.Incoherent;
                }
                else if ((reader ^ mine) >> 8 != 0 && !Ordered(BlockOf(reader), block))
                {
                    conflict = Conflict.Race;
                }
            }

            if ((writer ^ mine) >> 8 == 0)
            {
                *writers = stored | mask | late;
            }
            else if ((writer ^ mine) >> 36 != 0)
            {
                *writers = mine | mask | late;
                fresh += (reader ^ mine) >> 36 != 0 ? 8 : 0;
            }
            else
            {
                bool overlap = (writer & mask) != 0;
                if (overlap && BlockOf(writer) != Several && ((stored & Late) != 0 || !Ordered(BlockOf(writer), block)))
                {
                    conflict = Conflict.Race;
                }

                *writers = overlap && BlockOf(writer) != Several ? mine | mask | late
                    : epoch | ((ulong)Several << 8) | (writer & 0xFF) | mask;
            }

            bytes -= 8 - skip;
            skip = 0;
            readers++;
            writers++;
        }

        return conflict;
    }

    /// <summary>Whether the launch has read the bytes through the read-only cache.</summary>
    public bool ReadsIncoherently(Allocation allocation, ulong offset, int bytes)
    {
        ulong reader = enabled ? allocation.Readers[offset >> 3] : 0;
        return (reader & Cached) != 0 && (reader & ~Cached ^ epoch) >> 36 == 0 && (reader & Mask((int)(offset & 7), bytes)) != 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mask(int skip, long bytes) => (0xFFul >> (int)Math.Max(0, 8 - bytes)) << skip & 0xFF;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint BlockOf(ulong tag) => (uint)(tag >> 8) & Several;

    // Of several blocks nobody remembers which: a block that acquired after a release is believed.
    private bool Ordered(uint from, long to)
    {
        if (!AnyReleased) return false;

        long after = acquired[to];
        if (from == Several) return after > 0;

        long release = Volatile.Read(ref released[from]);
        return release != 0 && release < after;
    }
}
