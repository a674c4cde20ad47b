using System.Numerics;
using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>
/// cp.async: A is the shared address (C bytes per lane) plus X, B the global one plus <see cref="Operation.Immediate"/>,
/// Y the bytes, Z the offset of the source size or <see cref="Operation.NoGuard"/>.
/// </summary>
internal static unsafe class AsyncCopyInstructions
{
    public static void Copy(Warp warp, Operation* op, byte* _)
    {
        int bytes = op->Y;
        byte* target = warp.At(op->A);
        byte* source = warp.At(op->B);
        int* sizes = op->Z == Operation.NoGuard ? null : (int*)warp.At(op->Z);
        uint reads = 0;
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong to = (op->C == 8 ? ((ulong*)target)[lane] : ((uint*)target)[lane]) + (ulong)op->X;
            warp.Addresses[lane] = to >= Memory.EmulatedMemory.SharedWindow ? to - Memory.EmulatedMemory.SharedWindow : to;
            int size = sizes == null ? bytes : Math.Clamp(sizes[lane], 0, bytes);
            if (SharedMemoryInstructions.InBounds(warp, op, lane, bytes, "copies"))
            {
                Queue(warp, op, lane, (int)warp.Addresses[lane], ((ulong*)source)[lane] + (ulong)op->Immediate, bytes, size);
                reads |= size > 0 ? 1u << lane : 0;
            }
        }

        CountAndCheckSource(warp, op, source, reads, bytes);
    }

    private static void Queue(Warp warp, Operation* op, int lane, int to, ulong from, int bytes, int size)
    {
        SharedMemoryInstructions.NoteWrite(warp, op, lane, to, bytes, (uint)(warp.Index * Warp.Size + lane));
        warp.Block.SharedRaces.MarkPending(to, bytes);
        warp.Copies.Pending.Add(new(lane, warp.Copies.CurrentGroup(lane), from, to, (byte)bytes, (byte)size, op->Index));
    }

    private static void CountAndCheckSource(Warp warp, Operation* op, byte* source, uint reads, int bytes)
    {
        uint mask = warp.Mask;
        warp.Mask = reads;
        for (uint m = reads; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            warp.Addresses[lane] = ((ulong*)source)[lane] + (ulong)op->Immediate;
            GlobalMemoryInstructions.Misaligned(warp, op, lane, bytes, "copies from");
        }

        if (reads != 0) GlobalMemoryInstructions.Count(warp, op, bytes);

        warp.Mask = mask;
    }

    public static void Commit(Warp warp, Operation* op, byte* _) => warp.Copies.Commit(warp.Mask);

    /// <summary>Waits until at most <see cref="Operation.Immediate"/> of the newest groups are pending.</summary>
    public static void WaitGroup(Warp warp, Operation* op, byte* _) => Complete(warp, (int)op->Immediate);

    public static void WaitAll(Warp warp, Operation* op, byte* _)
    {
        warp.Copies.Commit(warp.Mask);
        Complete(warp, 0);
    }

    /// <summary>At the end of a block: what nobody waited for.</summary>
    public static void CompleteAll(Warp warp)
    {
        foreach (AsyncCopies.Copy copy in warp.Copies.Pending) Perform(warp, copy);

        warp.Copies.Clear();
    }

    private static void Complete(Warp warp, int allowed)
    {
        List<AsyncCopies.Copy> pending = warp.Copies.Pending;
        int kept = 0;
        for (int i = 0; i < pending.Count; i++)
        {
            AsyncCopies.Copy copy = pending[i];
            if (warp.Copies.Completes(copy, warp.Mask, allowed)) Perform(warp, copy);
            else pending[kept++] = copy;
        }

        pending.RemoveRange(kept, pending.Count - kept);
    }

    private static void Perform(Warp warp, in AsyncCopies.Copy copy)
    {
        BlockRunner block = warp.Block;
        byte* to = block.Shared + copy.Destination;
        uint tag = block.SharedRaces.Tag(warp.Index, (uint)(warp.Index * Warp.Size + copy.Lane));
        new Span<uint>(block.SharedRaces.Writers + (copy.Destination >> 1), copy.Bytes / 2).Fill(tag);
        Unsafe.InitBlockUnaligned(to, 0, copy.Bytes);
        if (copy.SourceBytes == 0) return;

        Operation* op = block.Launch.Kernel.Operations + copy.Operation;
        warp.Addresses[copy.Lane] = copy.Source;
        uint rest = 1u << copy.Lane;
        Allocation? allocation = GlobalMemoryInstructions.TakeAllocation(warp, op, copy.SourceBytes, ref rest, out _, "copies");
        if (allocation is null) return;

        ulong offset = copy.Source - allocation.Address;
        if (block.CheckUndefined && !GlobalMemoryInstructions.AllDefined(allocation.Defined + offset, copy.SourceBytes))
        {
            GlobalMemoryInstructions.ReportUndefined(warp, op, copy.Lane, copy.SourceBytes, allocation);
        }

        EmulatedLaunch launch = block.Launch;
        launch.Accesses?.Note(allocation, offset, copy.SourceBytes, write: false);
        if (launch.Races.Enabled && launch.Races.Read(
            allocation, offset, copy.SourceBytes, block.BlockNumber, incoherent: false, ref block.Counters.FreshBytes) is not Conflict.None)
        {
            warp.Report(FindingKind.GlobalRace, op, copy.Lane, copy.Source,
                $"copies from 0x{copy.Source:x} what another block of the same launch writes: use another launch");
        }

        Unsafe.CopyBlockUnaligned(to, allocation.Data + offset, copy.SourceBytes);
    }
}
