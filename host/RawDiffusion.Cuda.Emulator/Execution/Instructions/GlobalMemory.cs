using System.Numerics;
using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Loads and stores of global and constant memory.</summary>
internal static unsafe class GlobalMemoryInstructions
{
    private const int SectorShift = 5;

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
        if (MemoryAccess.Contiguous(warp, bytes) && LoadContiguous(warp, op, bytes)) return;

        Count(warp, op, bytes);
        uint rest = warp.Mask;
        while (rest != 0)
        {
            Allocation? allocation = TakeAllocation(warp, op, bytes, ref rest, out uint lanes, "reads");
            if (allocation is null)
            {
                Poison(warp, op, lanes);
                continue;
            }

            for (uint m = lanes; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                ulong offset = warp.Addresses[lane] - allocation.Address;
                if (Misaligned(warp, op, lane, bytes, "reads")) continue;

                if (warp.Block.CheckUndefined && !AllDefined(allocation.Defined + offset, bytes))
                {
                    ReportUndefined(warp, op, lane, bytes, allocation);
                }

                NoteRead(warp, op, lane, allocation, offset, bytes);
                MemoryAccess.ToRegisters(warp, op, lane, allocation.Data + offset);
            }
        }
    }

    public static void StoreAddressed(Warp warp, Operation* op)
    {
        int bytes = op->X * op->Y;
        if (MemoryAccess.Contiguous(warp, bytes) && StoreContiguous(warp, op, bytes)) return;

        Count(warp, op, bytes);
        uint rest = warp.Mask;
        while (rest != 0)
        {
            Allocation? allocation = TakeAllocation(warp, op, bytes, ref rest, out uint lanes, "writes");
            for (uint m = allocation is null ? 0 : lanes; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                ulong offset = warp.Addresses[lane] - allocation!.Address;
                if (Misaligned(warp, op, lane, bytes, "writes")) continue;

                NoteWrite(warp, op, lane, allocation, offset, bytes);
                Unsafe.InitBlockUnaligned(allocation.Defined + offset, 0xFF, (uint)bytes);
                MemoryAccess.FromRegisters(warp, op, lane, allocation.Data + offset);
            }
        }
    }

    private static bool LoadContiguous(Warp warp, Operation* op, int bytes)
    {
        ulong address = warp.Addresses[0];
        long total = (long)bytes * Warp.Size;
        Allocation? allocation = warp.Block.Launch.Memory.FindOpen(address, total);
        if (allocation is null || (address & (ulong)(bytes - 1)) != 0) return false;

        ulong offset = address - allocation.Address;
        if (warp.Block.CheckUndefined && new ReadOnlySpan<byte>(allocation.Defined + offset, (int)total)
            .IndexOfAnyExcept((byte)0xFF) is >= 0 and int bad)
        {
            ReportUndefined(warp, op, bad / bytes, bytes, allocation);
        }

        CountContiguous(warp, op, address, total);
        NoteRead(warp, op, 0, allocation, offset, total);
        byte* data = allocation.Data + offset;
        if (op->Y == 1 && op->X >= 4 && (op->Z & MemoryAccess.Wide) >> 1 == op->X >> 3)
        {
            Unsafe.CopyBlockUnaligned(warp.Registers + op->List[0], data, (uint)total);
        }
        else
        {
            for (int lane = 0; lane < Warp.Size; lane++)
            {
                MemoryAccess.ToRegisters(warp, op, lane, data + lane * bytes);
            }
        }

        return true;
    }

    private static bool StoreContiguous(Warp warp, Operation* op, int bytes)
    {
        ulong address = warp.Addresses[0];
        long total = (long)bytes * Warp.Size;
        Allocation? allocation = warp.Block.Launch.Memory.FindOpen(address, total);
        if (allocation is null || (address & (ulong)(bytes - 1)) != 0) return false;

        ulong offset = address - allocation.Address;
        CountContiguous(warp, op, address, total);
        NoteWrite(warp, op, 0, allocation, offset, total);
        Unsafe.InitBlockUnaligned(allocation.Defined + offset, 0xFF, (uint)total);
        byte* data = allocation.Data + offset;
        if (op->Y == 1 && op->X >= 4 && (op->Z & MemoryAccess.Wide) >> 1 == op->X >> 3)
        {
            Unsafe.CopyBlockUnaligned(data, warp.At(op->List[0]), (uint)total);
        }
        else
        {
            for (int lane = 0; lane < Warp.Size; lane++)
            {
                MemoryAccess.FromRegisters(warp, op, lane, data + lane * bytes);
            }
        }

        return true;
    }

    /// <summary>
    /// Takes from <paramref name="rest"/> the lanes whose access lies in the same allocation as the first one's, or, where
    /// that lies in none, the first one, which is reported.
    /// </summary>
    public static Allocation? TakeAllocation(Warp warp, Operation* op, int bytes, ref uint rest, out uint lanes, string verb)
    {
        int first = BitOperations.TrailingZeroCount(rest);
        ulong address = warp.Addresses[first];
        EmulatedMemory memory = warp.Block.Launch.Memory;
        Allocation? allocation = memory.FindOpen(address, bytes);
        lanes = 1u << first;
        if (allocation is null)
        {
            rest &= ~lanes;
            Allocation? near = memory.Near(address);
            warp.Report(FindingKind.OutOfBounds, op, first, address,
                $"{verb} {bytes} bytes at 0x{address:x}, {memory.Describe(address, bytes)}: "
                + (near is { Freed: true } ? "keep the memory until the last launch that uses it is done"
                : "check the index against the extent, or the launch's pointer and size"));
            return null;
        }

        ulong low = allocation.Address, room = (ulong)(allocation.Bytes - bytes);
        for (uint m = rest & ~lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong offset = warp.Addresses[lane] - low;
            lanes |= offset <= room && !allocation.IsFenced((long)offset, bytes) ? 1u << lane : 0;
        }

        rest &= ~lanes;
        return allocation;
    }

    public static bool Misaligned(Warp warp, Operation* op, int lane, int bytes, string verb)
    {
        ulong address = warp.Addresses[lane];
        if ((address & (ulong)(bytes - 1)) == 0) return false;

        warp.Report(FindingKind.Misaligned, op, lane, address,
            $"{verb} {bytes} bytes at 0x{address:x}, which is not a multiple of {bytes}: align the pointer and the row pitch, or use a "
            + "narrower access");
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AllDefined(byte* defined, int bytes) => bytes switch
    {
        4 => *(uint*)defined == uint.MaxValue,
        2 => *(ushort*)defined == ushort.MaxValue,
        1 => *defined == byte.MaxValue,
        8 => *(ulong*)defined == ulong.MaxValue,
        _ => new ReadOnlySpan<byte>(defined, bytes).IndexOfAnyExcept((byte)0xFF) < 0,
    };

    public static void ReportUndefined(Warp warp, Operation* op, int lane, int bytes, Allocation allocation)
    {
        ulong address = warp.Addresses[lane];
        warp.Report(FindingKind.Undefined, op, lane, address,
            $"reads {bytes} bytes at 0x{address:x} that nothing wrote, {warp.Block.Launch.Memory.Describe(address, bytes)} (offset "
            + $"{address - allocation.Address}): write or fill them before");
    }

    public static void NoteRead(Warp warp, Operation* op, int lane, Allocation allocation, ulong offset, long bytes)
    {
        EmulatedLaunch launch = warp.Block.Launch;
        launch.Accesses?.Note(allocation, offset, bytes, write: false);
        if (launch.Races.Enabled && (op->Z & (MemoryAccess.Synchronizing | MemoryAccess.Uncounted)) == 0
            && launch.Races.Read(allocation, offset, bytes, warp.Block.BlockNumber, (op->Z & MemoryAccess.Incoherent) != 0,
            ref warp.Block.Counters.FreshBytes) is not Conflict.None and var conflict)
        {
            ulong address = allocation.Address + offset;
            if (conflict == Conflict.Incoherent)
            {
                warp.Report(FindingKind.Incoherent, op, lane, address,
                    $"reads at 0x{address:x} through the read-only cache (ld.global.nc) what the same launch writes: the cache need not "
                    + "see it; drop __restrict__ or __ldg, or use another launch");
            }
            else
            {
                warp.Report(FindingKind.GlobalRace, op, lane, address,
                    $"reads at 0x{address:x} what another block of the same launch writes: use another launch, or a fence and an atomic on "
                    + "both sides");
            }
        }
    }

    public static void NoteWrite(Warp warp, Operation* op, int lane, Allocation allocation, ulong offset, long bytes)
    {
        EmulatedLaunch launch = warp.Block.Launch;
        launch.Accesses?.Note(allocation, offset, bytes, write: true);
        if (launch.Races.Enabled && (op->Z & MemoryAccess.Synchronizing) == 0
            && launch.Races.Write(allocation, offset, bytes, warp.Block.BlockNumber,
            ref warp.Block.Counters.FreshBytes) is not Conflict.None and var conflict)
        {
            ulong address = allocation.Address + offset;
            if (conflict == Conflict.Incoherent)
            {
                ReportIncoherentWrite(warp, op, lane, address);
            }
            else
            {
                warp.Report(FindingKind.GlobalRace, op, lane, address,
                    $"writes at 0x{address:x} what another block of the same launch reads or writes: give each block its own memory, or "
                    + "use atomics");
            }
        }
    }

    public static void ReportIncoherentWrite(Warp warp, Operation* op, int lane, ulong address) =>
        warp.Report(FindingKind.Incoherent, op, lane, address,
        $"writes at 0x{address:x} what the same launch reads through the read-only cache (ld.global.nc), which need not see it: drop "
        + "__restrict__ or __ldg of what is read, or use another launch");

    // Lanes without a value get a pattern that is easy to see.
    private static void Poison(Warp warp, Operation* op, uint lanes)
    {
        long* none = stackalloc long[4] { 0, 0, 0, 0 };
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            MemoryAccess.ToRegisters(warp, op, BitOperations.TrailingZeroCount(m), (byte*)none);
        }
    }

    private static void CountContiguous(Warp warp, Operation* op, ulong address, long total)
    {
        long sectors = (long)(((address + (ulong)total - 1) >> SectorShift) - (address >> SectorShift) + 1);
        Add(warp, op, sectors, Math.Max(1, total >> SectorShift), total);
    }

    /// <summary>Counts a request and the 32-byte sectors that it touches.</summary>
    public static void Count(Warp warp, Operation* op, int bytes)
    {
        ulong* seen = stackalloc ulong[2 * Warp.Size];
        int sectors = 0;
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            ulong address = warp.Addresses[BitOperations.TrailingZeroCount(m)];
            ulong last = (address + (ulong)bytes - 1) >> SectorShift;
            for (ulong sector = address >> SectorShift; sector <= last; sector++)
            {
                if (sectors > 0 && seen[sectors - 1] == sector) continue;

                int i = 0;
                while (i < sectors && seen[i] != sector) i++;

                if (i == sectors && sectors < 2 * Warp.Size) seen[sectors++] = sector;
            }
        }

        long asked = (long)BitOperations.PopCount(warp.Mask) * bytes;
        Add(warp, op, sectors, (asked + 31) >> SectorShift, asked);
    }

    private static void Add(Warp warp, Operation* op, long sectors, long ideal, long asked)
    {
        if ((op->Z & MemoryAccess.Uncounted) == 0)
        {
            long* counts = warp.Block.Counters.Operations + (op->Index * RunCounters.PerOperation);
            counts[RunCounters.Requests]++;
            counts[RunCounters.Transactions] += sectors;
            counts[RunCounters.Ideal] += Math.Min(ideal, sectors);
            counts[RunCounters.Bytes] += asked;
        }
    }
}
