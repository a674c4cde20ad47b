using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Loads and stores of shared memory, with bank conflicts and races.</summary>
internal static unsafe class SharedMemoryInstructions
{
    public static void Load(Warp warp, Operation* op, byte* _)
    {
        MemoryAccess.Addresses(warp, op);
        LoadAddressed(warp, op);
    }

    public static void Store(Warp warp, Operation* op, byte* _)
    {
        MemoryAccess.Addresses(warp, op);
        StoreAddressed(warp, op);
    }

    public static void LoadAddressed(Warp warp, Operation* op)
    {
        int bytes = op->X * op->Y;
        byte* shared = warp.Block.Shared;
        if (op->X == 4 && op->Y == 1 && (op->Z & MemoryAccess.Wide) == 0 && ContiguousWords(warp)
            && NoteWords(warp, (int)warp.Addresses[0], write: false))
        {
            Add(warp, op, 1, 1, 128);
            Unsafe.CopyBlockUnaligned(warp.Registers + op->List[0], shared + warp.Addresses[0], 128);
            return;
        }

        CountBanks(warp, op, bytes);
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong offset = warp.Addresses[lane];
            if (InBounds(warp, op, lane, bytes, "reads"))
            {
                NoteRead(warp, op, lane, (int)offset, bytes);
                MemoryAccess.ToRegisters(warp, op, lane, shared + offset);
            }
        }
    }

    public static void StoreAddressed(Warp warp, Operation* op)
    {
        int bytes = op->X * op->Y;
        byte* shared = warp.Block.Shared;
        if (op->X == 4 && op->Y == 1 && (op->Z & MemoryAccess.Wide) == 0 && ContiguousWords(warp)
            && NoteWords(warp, (int)warp.Addresses[0], write: true))
        {
            Add(warp, op, 1, 1, 128);
            Unsafe.CopyBlockUnaligned(shared + warp.Addresses[0], warp.At(op->List[0]), 128);
            return;
        }

        CountBanks(warp, op, bytes);
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong offset = warp.Addresses[lane];
            if (InBounds(warp, op, lane, bytes, "writes"))
            {
                NoteWrite(warp, op, lane, (int)offset, bytes, (uint)(warp.Index * Warp.Size + lane));
                MemoryAccess.FromRegisters(warp, op, lane, shared + offset);
            }
        }
    }

    /// <summary>Whether 32 lanes access aligned words side by side within the block's memory.</summary>
    private static bool ContiguousWords(Warp warp) =>
        MemoryAccess.Contiguous(warp, 4) && (warp.Addresses[0] & 3) == 0 && warp.Addresses[0] <= (ulong)(warp.Block.SharedBytes - 128);

    /// <summary>
    /// Notes that lane i accesses word i from an offset on, where nothing conflicts; false, and nothing noted, where the
    /// words must be looked at one by one.
    /// </summary>
    private static bool NoteWords(Warp warp, int offset, bool write)
    {
        SharedRaces races = warp.Block.SharedRaces;
        uint ordered = races.OrderedBelow(warp.Index);
        var bound = Vector512.Create(ordered);
        var first = Vector512.Create(races.Tag(warp.Index, (uint)(warp.Index * Warp.Size)));
        var lanes = Vector512.ShiftLeft(Vector512.Create(0u, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), 2);
        uint* writers = races.Writers + (offset >> 1);
        uint* readers = races.Readers + (offset >> 1);
        Vector512<uint> fine = Vector512<uint>.AllBitsSet;
        for (int i = 0; i < 4; i++)
        {
            Vector512<uint> mine = first + lanes + Vector512.Create((uint)i * 32);
            var writer = Vector512.Load(writers + (16 * i));
            var reader = Vector512.Load(readers + (16 * i));
            Vector512<uint> readerFine = Vector512.LessThan(reader, bound) | Vector512.Equals(reader, mine);
            Vector512<uint> writerFine = write
                ? Vector512.LessThan(writer, bound) | Vector512.Equals(writer, mine)
                : Vector512.LessThan(writer - Vector512<uint>.One, bound - Vector512<uint>.One) | Vector512.Equals(writer, mine);
            fine &= readerFine & writerFine;
        }

        if (fine != Vector512<uint>.AllBitsSet) return false;

        uint* tags = write ? writers : readers;
        for (int i = 0; i < 4; i++) (first + lanes + Vector512.Create((uint)i * 32)).Store(tags + (16 * i));

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool InBounds(Warp warp, Operation* op, int lane, int bytes, string verb)
    {
        ulong offset = warp.Addresses[lane];
        if (offset + (ulong)bytes <= (ulong)warp.Block.SharedBytes && offset <= (ulong)warp.Block.SharedBytes)
        {
            return (offset & (ulong)(bytes - 1)) == 0 || !GlobalMemoryInstructions.Misaligned(warp, op, lane, bytes, verb);
        }

        warp.Report(FindingKind.OutOfBounds, op, lane, offset,
            $"{verb} {bytes} bytes at offset {(long)offset} of the block's {warp.Block.SharedBytes} bytes of shared memory: check the "
            + "index, or give the launch more dynamic shared memory");
        return false;
    }

    private static uint PairMask(int offset, int bytes) => bytes > 1 ? 3u : 1u << (offset & 1);

    /// <summary>A thread reads: reports what is undefined, pending or racing.</summary>
    public static void NoteRead(Warp warp, Operation* op, int lane, int offset, int bytes)
    {
        SharedRaces races = warp.Block.SharedRaces;
        uint thread = (uint)(warp.Index * Warp.Size + lane);
        uint ordered = races.OrderedBelow(warp.Index);
        uint touched = PairMask(offset, bytes);
        uint mine = (races.Tag(warp.Index, thread) & ~3u) | touched;
        uint* writers = races.Writers + (offset >> 1);
        uint* readers = races.Readers + (offset >> 1);
        int pairs = (bytes + 1) >> 1;
        if (pairs == 2)
        {
            // The common case: four bytes that were written before the last barrier.
            uint w0 = writers[0], w1 = writers[1], r0 = readers[0], r1 = readers[1];
            if (w0 - 1 < ordered - 1 && w1 - 1 < ordered - 1)
            {
                uint several = races.Tag(warp.Index, SharedRaces.SeveralWarps);
                if (r0 == several && r1 == several) return;

                if ((r0 < ordered || r0 == mine) && (r1 < ordered || r1 == mine))
                {
                    readers[0] = mine;
                    readers[1] = mine;
                    return;
                }
            }
        }

        for (int i = 0; i < pairs; i++)
        {
            uint writer = writers[i];
            if (writer - 1 >= ordered - 1)
            {
                CheckWriter(warp, op, lane, offset + 2 * i, bytes, writer, thread, touched);
            }

            readers[i] = races.Merge(readers[i], mine, warp.Index);
        }
    }

    /// <summary>A row of 16 bytes read by several lanes at once.</summary>
    public static void NoteRowRead(Warp warp, Operation* op, int lane, int offset)
    {
        SharedRaces races = warp.Block.SharedRaces;
        uint ordered = races.OrderedBelow(warp.Index);
        uint who = SharedRaces.SeveralOfWarp + (uint)warp.Index;
        uint mine = races.Tag(warp.Index, who);
        uint* writers = races.Writers + (offset >> 1);
        uint* readers = races.Readers + (offset >> 1);
        Vector256<uint> one = Vector256<uint>.One;
        var bound = Vector256.Create(ordered - 1);
        if (Vector256.GreaterThanOrEqualAny(Vector256.Load(writers) - one, bound))
        {
            for (int i = 0; i < 8; i++)
            {
                if (writers[i] - 1 >= ordered - 1)
                {
                    CheckWriter(warp, op, lane, offset + 2 * i, 16, writers[i], who, 3);
                }
            }
        }

        // As SharedRaces.Merge, for eight pairs at once.
        var old = Vector256.Load(readers);
        Vector256<uint> thread = Vector256.ShiftRightLogical(old, 2) & Vector256.Create(0x7FFu);
        Vector256<uint> ours = Vector256.Equals(Vector256.ShiftRightLogical(thread, 5), Vector256.Create((uint)warp.Index))
            | Vector256.Equals(thread, Vector256.Create(who));
        Vector256<uint> replace = Vector256.LessThan(old, Vector256.Create(ordered)) | ours;
        Vector256<uint> several = Vector256.Max(old, Vector256.Create(mine)) & Vector256.Create(SharedRaces.TimeMask);
        several |= Vector256.Create((SharedRaces.SeveralWarps << 2) | 3);
        Vector256.ConditionalSelect(replace, Vector256.Create(mine), several).Store(readers);
    }

    private static void CheckWriter(Warp warp, Operation* op, int lane, int offset, int bytes, uint writer, uint thread, uint touched)
    {
        if (writer == 0)
        {
            if (warp.Block.CheckUndefined)
            {
                warp.Report(FindingKind.Undefined, op, lane, (ulong)offset,
                    $"reads {bytes} bytes of shared memory of which nothing wrote those at offset {offset}: write them first");

                // Once is enough.
                warp.Block.SharedRaces.Writers[offset >> 1] = 3;
            }
        }
        else if (SharedRaces.IsPending(writer))
        {
            warp.Report(FindingKind.AsyncCopyPending, op, lane, (ulong)offset,
                $"reads shared memory at offset {offset} that a cp.async is still writing: wait for it (cp.async.wait_group) and then for "
                + "the other threads (__syncthreads)");
        }
        else if (warp.Block.CheckSharedRaces && warp.Block.SharedRaces.Conflicts(writer, warp.Index, thread, touched))
        {
            warp.Report(FindingKind.SharedRace, op, lane, (ulong)offset,
                $"reads shared memory at offset {offset} that {Who(warp, writer)} wrote, with no barrier between: put __syncthreads (or, "
                + "within a warp, __syncwarp) there");
        }
    }

    /// <summary>A thread writes, or, with an atomic's code, changes.</summary>
    public static void NoteWrite(Warp warp, Operation* op, int lane, int offset, int bytes, uint who)
    {
        SharedRaces races = warp.Block.SharedRaces;
        uint ordered = races.OrderedBelow(warp.Index);
        uint touched = PairMask(offset, bytes);
        uint mine = (races.Tag(warp.Index, who) & ~3u) | touched;
        uint* writers = races.Writers + (offset >> 1);
        uint* readers = races.Readers + (offset >> 1);
        int pairs = (bytes + 1) >> 1;
        for (int i = 0; i < pairs; i++)
        {
            uint writer = writers[i], reader = readers[i];
            if (writer >= ordered || reader >= ordered)
            {
                CheckWrite(warp, op, lane, offset + 2 * i, writer, reader, who, touched);
            }

            writers[i] = writer >= ordered && ((writer ^ mine) & ~3u) == 0 ? writer | mine : mine;
        }
    }

    private static void CheckWrite(Warp warp, Operation* op, int lane, int offset, uint writer, uint reader, uint who, uint touched)
    {
        SharedRaces races = warp.Block.SharedRaces;
        if (SharedRaces.IsPending(writer))
        {
            warp.Report(FindingKind.AsyncCopyPending, op, lane, (ulong)offset,
                $"writes shared memory at offset {offset} that a cp.async is still writing: wait for it (cp.async.wait_group) and for the "
                + "other threads (__syncthreads) first");
            return;
        }

        if (!warp.Block.CheckSharedRaces) return;

        bool bothAtomic = who == SharedRaces.Atomic && SharedRaces.IsAtomic(writer);
        if (!bothAtomic && races.Conflicts(writer, warp.Index, who, touched))
        {
            warp.Report(FindingKind.SharedRace, op, lane, (ulong)offset,
                $"writes shared memory at offset {offset} that {Who(warp, writer)} wrote too, with no barrier between: give each thread "
                + "its own place, or put __syncthreads between");
        }
        else if (races.Conflicts(reader, warp.Index, who, touched))
        {
            warp.Report(FindingKind.SharedRace, op, lane, (ulong)offset,
                $"writes shared memory at offset {offset} that {Who(warp, reader)} read, with no barrier between: put __syncthreads "
                + "between the reads and the next writes");
        }
    }

    private static string Who(Warp warp, uint tag) =>
        SharedRaces.Thread(tag) is >= 0 and int thread ? $"thread {warp.Block.ThreadName(thread)}" : SharedRaces.IsAtomic(tag)
        ? "an atomic operation" : "other threads";

    /// <summary>
    /// Counts wavefronts: 32 banks of 4 bytes; lanes that read the same word share it; 8-byte accesses go by half warps and
    /// 16-byte accesses by quarter warps.
    /// </summary>
    private static void CountBanks(Warp warp, Operation* op, int bytes)
    {
        int lanesPerPhase = bytes == 16 ? 8 : bytes == 8 ? 16 : 32;
        int words = Math.Max(1, bytes / 4);
        long wavefronts = 0, ideal = 0;
        ulong* at = warp.Addresses;
        if (bytes <= 4 && MemoryAccess.Contiguous(warp, 4))
        {
            Add(warp, op, 1, 1, (long)bytes * Warp.Size);
            return;
        }

        for (int phase = 0; phase < Warp.Size; phase += lanesPerPhase)
        {
            uint lanes = (warp.Mask >> phase) & (lanesPerPhase == 32 ? uint.MaxValue : (1u << lanesPerPhase) - 1);
            if (lanes != 0)
            {
                wavefronts += Wavefronts(at + phase, lanes, words);
                ideal++;
            }
        }

        Add(warp, op, wavefronts, ideal, (long)BitOperations.PopCount(warp.Mask) * bytes);
    }

    /// <summary>Most distinct words that one bank is asked for.</summary>
    public static int Wavefronts(ulong* addresses, uint lanes, int words)
    {
        const int Deepest = 32;
        byte* depth = stackalloc byte[32];
        uint* asked = stackalloc uint[32 * Deepest];
        Unsafe.InitBlock(depth, 0, 32);
        int most = 1;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            uint word = (uint)(addresses[BitOperations.TrailingZeroCount(m)] >> 2);
            for (int i = 0; i < words; i++, word++)
            {
                uint bank = word & 31;
                uint* list = asked + (bank * Deepest);
                int count = depth[bank];
                int j = 0;
                while (j < count && list[j] != word) j++;

                if (j == count && count < Deepest)
                {
                    list[count] = word;
                    depth[bank] = (byte)(count + 1);
                    most = Math.Max(most, count + 1);
                }
            }
        }

        return most;
    }

    public static void Add(Warp warp, Operation* op, long wavefronts, long ideal, long bytes)
    {
        long* counts = warp.Block.Counters.Operations + (op->Index * RunCounters.PerOperation);
        counts[RunCounters.Requests]++;
        counts[RunCounters.Transactions] += wavefronts;
        counts[RunCounters.Ideal] += ideal;
        counts[RunCounters.Bytes] += bytes;
    }
}
