using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

internal enum AtomicKind
{
    Add,
    AddFloat,
    AddDouble,
    AddHalf,
    AddHalf2,
    AddBFloat,
    AddBFloat2,
    MinSigned,
    MaxSigned,
    MinUnsigned,
    MaxUnsigned,
    Increment,
    Decrement,
    And,
    Or,
    Xor,
    Exchange,
    CompareExchange,
}

/// <summary>
/// atom and red. A memory operation's address; X bytes (2, 4, 8), Y the kind, B and, for cas, List[0] the values; Z flags:
/// 1 no result (red), 2 shared, 4 generic. Lanes go in ascending order; blocks in the order in which they come.
/// </summary>
internal static unsafe class AtomicInstructions
{
    public const int NoResult = 1;
    public const int Shared = 2;
    public const int Generic = 4;

    public static void Atomic(Warp warp, Operation* op, byte* target)
    {
        MemoryAccess.Addresses(warp, op);
        uint mask = warp.Mask;
        long* counts = warp.Block.Counters.Operations + (op->Index * RunCounters.PerOperation);
        counts[RunCounters.Requests]++;
        counts[RunCounters.Bytes] += (long)BitOperations.PopCount(mask) * op->X;
        counts[RunCounters.Transactions] += BitOperations.PopCount(mask);
        bool global = false;
        if ((op->Z & Shared) == 0) warp.Block.BeforeGlobalAtomic();

        for (uint m = mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            bool shared = (op->Z & Shared) != 0;
            if ((op->Z & Generic) != 0 && MemoryAccess.Window(warp.Addresses[lane]) == EmulatedMemory.SharedWindow)
            {
                warp.Addresses[lane] -= EmulatedMemory.SharedWindow;
                shared = true;
            }

            byte* at = shared ? InShared(warp, op, lane) : InGlobal(warp, op, lane);
            global |= !shared;
            if (at == null) continue;

            ulong old = op->X == 8
                ? Change64((ulong*)at, op, Value(warp, op->B, lane, 8), op->Y == (int)AtomicKind.CompareExchange
                ? Value(warp, op->List[0], lane, 8) : 0)
                : op->X == 2
                    ? Change16(at, op, Value(warp, op->B, lane, 4), op->Y == (int)AtomicKind.CompareExchange
                    ? Value(warp, op->List[0], lane, 4) : 0)
                    : Change32((uint*)at, op, (uint)Value(warp, op->B, lane, 4), op->Y == (int)AtomicKind.CompareExchange
                    ? (uint)Value(warp, op->List[0], lane, 4) : 0);
            if ((op->Z & NoResult) == 0)
            {
                if (op->X == 8) ((ulong*)target)[lane] = old;
                else ((uint*)target)[lane] = (uint)old;
            }
        }

        if (global) warp.Block.AfterGlobalAtomic();
    }

    private static ulong Value(Warp warp, int offset, int lane, int width) =>
        width == 8 ? ((ulong*)warp.At(offset))[lane] : ((uint*)warp.At(offset))[lane];

    private static byte* InShared(Warp warp, Operation* op, int lane)
    {
        if (!SharedMemoryInstructions.InBounds(warp, op, lane, op->X, "changes")) return null;

        int offset = (int)warp.Addresses[lane];
        if (warp.Block.CheckUndefined && warp.Block.SharedRaces.Writers[offset >> 1] == 0 && op->Y != (int)AtomicKind.Exchange)
        {
            warp.Report(FindingKind.Undefined, op, lane, (ulong)offset,
                $"an atomic operation changes shared memory at offset {offset} that nothing wrote: write it first");
        }

        SharedMemoryInstructions.NoteWrite(warp, op, lane, offset, op->X, SharedRaces.Atomic);
        return warp.Block.Shared + offset;
    }

    private static byte* InGlobal(Warp warp, Operation* op, int lane)
    {
        uint rest = 1u << lane;
        Allocation? allocation = GlobalMemoryInstructions.TakeAllocation(warp, op, op->X, ref rest, out _, "changes");
        if (allocation is null || GlobalMemoryInstructions.Misaligned(warp, op, lane, op->X, "changes"))
        {
            return null;
        }

        ulong offset = warp.Addresses[lane] - allocation.Address;
        if (warp.Block.CheckUndefined && op->Y != (int)AtomicKind.Exchange
            && !GlobalMemoryInstructions.AllDefined(allocation.Defined + offset, op->X))
        {
            GlobalMemoryInstructions.ReportUndefined(warp, op, lane, op->X, allocation);
        }

        warp.Block.Launch.Accesses?.Note(allocation, offset, op->X, write: true);
        if (warp.Block.Launch.Races.ReadsIncoherently(allocation, offset, op->X))
        {
            GlobalMemoryInstructions.ReportIncoherentWrite(warp, op, lane, warp.Addresses[lane]);
        }

        Unsafe.InitBlockUnaligned(allocation.Defined + offset, 0xFF, (uint)op->X);
        return allocation.Data + offset;
    }

    private static ulong Change32(uint* at, Operation* op, uint value, uint swap)
    {
        while (true)
        {
            uint old = Volatile.Read(ref *at);
            uint changed = (AtomicKind)op->Y switch
            {
                AtomicKind.Add => old + value,
                AtomicKind.AddFloat => BitConverter.SingleToUInt32Bits(
                BitConverter.UInt32BitsToSingle(old) + BitConverter.UInt32BitsToSingle(value)),
                AtomicKind.AddHalf2 => AddPair(old, value, HalfVectors.FromHalf, HalfVectors.ToHalf),
                AtomicKind.AddBFloat2 => AddPair(old, value, HalfVectors.FromBFloat, HalfVectors.ToBFloat),
                AtomicKind.MinSigned => (uint)Math.Min((int)old, (int)value),
                AtomicKind.MaxSigned => (uint)Math.Max((int)old, (int)value),
                AtomicKind.MinUnsigned => Math.Min(old, value),
                AtomicKind.MaxUnsigned => Math.Max(old, value),
                AtomicKind.Increment => old >= value ? 0 : old + 1,
                AtomicKind.Decrement => old == 0 || old > value ? value : old - 1,
                AtomicKind.And => old & value,
                AtomicKind.Or => old | value,
                AtomicKind.Xor => old ^ value,
                AtomicKind.Exchange => value,
                AtomicKind.CompareExchange => old == value ? swap : old,
                var other => throw new UnreachableException($"there is no atomic {other} of 32 bits"),
            };
            if (Interlocked.CompareExchange(ref *at, changed, old) == old) return old;
        }
    }

    private static ulong Change64(ulong* at, Operation* op, ulong value, ulong swap)
    {
        while (true)
        {
            ulong old = Volatile.Read(ref *at);
            ulong changed = (AtomicKind)op->Y switch
            {
                AtomicKind.Add => old + value,
                AtomicKind.AddDouble => BitConverter.DoubleToUInt64Bits(
                BitConverter.UInt64BitsToDouble(old) + BitConverter.UInt64BitsToDouble(value)),
                AtomicKind.MinSigned => (ulong)Math.Min((long)old, (long)value),
                AtomicKind.MaxSigned => (ulong)Math.Max((long)old, (long)value),
                AtomicKind.MinUnsigned => Math.Min(old, value),
                AtomicKind.MaxUnsigned => Math.Max(old, value),
                AtomicKind.And => old & value,
                AtomicKind.Or => old | value,
                AtomicKind.Xor => old ^ value,
                AtomicKind.Exchange => value,
                AtomicKind.CompareExchange => old == value ? swap : old,
                var other => throw new UnreachableException($"there is no atomic {other} of 64 bits"),
            };
            if (Interlocked.CompareExchange(ref *at, changed, old) == old) return old;
        }
    }

    private static ulong Change16(byte* at, Operation* op, ulong value, ulong swap)
    {
        // The word that holds the half.
        uint* word = (uint*)((ulong)at & ~3ul);
        int shift = ((ulong)at & 2) != 0 ? 16 : 0;
        while (true)
        {
            uint whole = Volatile.Read(ref *word);
            ushort old = (ushort)(whole >> shift);
            ushort changed = (AtomicKind)op->Y switch
            {
                AtomicKind.AddHalf => HalfVectors.ToHalf(HalfVectors.FromHalf(old) + HalfVectors.FromHalf((ushort)value)),
                AtomicKind.AddBFloat => HalfVectors.ToBFloat(HalfVectors.FromBFloat(old) + HalfVectors.FromBFloat((ushort)value)),
                AtomicKind.Exchange => (ushort)value,
                AtomicKind.CompareExchange => old == (ushort)value ? (ushort)swap : old,
                var other => throw new UnreachableException($"there is no atomic {other} of 16 bits"),
            };
            uint result = (whole & ~(0xFFFFu << shift)) | ((uint)changed << shift);
            if (Interlocked.CompareExchange(ref *word, result, whole) == whole) return old;
        }
    }

    private static uint AddPair(uint a, uint b, Func<ushort, float> from, Func<float, ushort> to) =>
        to(from((ushort)a) + from((ushort)b)) | ((uint)to(from((ushort)(a >> 16)) + from((ushort)(b >> 16))) << 16);
}
