using System.Numerics;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Loads and stores of a thread's own memory, and loads of kernel parameters by a computed address.</summary>
internal static unsafe class LocalMemoryInstructions
{
    public static void Load(Warp warp, Operation* op, byte* _)
    {
        MemoryAccess.Addresses(warp, op);
        Addressed(warp, op, write: false);
    }

    public static void Store(Warp warp, Operation* op, byte* _)
    {
        MemoryAccess.Addresses(warp, op);
        Addressed(warp, op, write: true);
    }

    public static void Addressed(Warp warp, Operation* op, bool write)
    {
        int bytes = op->X * op->Y;
        int size = warp.Block.LocalBytes;
        long* counts = warp.Block.Counters.Operations + (op->Index * RunCounters.PerOperation);
        counts[RunCounters.Requests]++;
        counts[RunCounters.Bytes] += (long)BitOperations.PopCount(warp.Mask) * bytes;
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong offset = warp.Addresses[lane];
            if (offset + (ulong)bytes > (ulong)size || offset > (ulong)size)
            {
                warp.Report(FindingKind.OutOfBounds, op, lane, offset,
                    $"{(write ? "writes" : "reads")} {bytes} bytes at offset {(long)offset} of the thread's {size} bytes of local memory: "
                    + "check the index into the local array");
                continue;
            }

            if (GlobalMemoryInstructions.Misaligned(warp, op, lane, bytes, write ? "writes" : "reads"))
            {
                continue;
            }

            byte* at = warp.Local + ((long)lane * size) + offset;
            if (write) MemoryAccess.FromRegisters(warp, op, lane, at);
            else MemoryAccess.ToRegisters(warp, op, lane, at);
        }
    }

    public static void LoadParameter(Warp warp, Operation* op, byte* _)
    {
        MemoryAccess.Addresses(warp, op);
        LoadParameterAddressed(warp, op);
    }

    public static void LoadParameterAddressed(Warp warp, Operation* op)
    {
        int bytes = op->X * op->Y;
        ReadOnlySpan<byte> arguments = warp.Block.Arguments;
        fixed (byte* first = arguments)
        {
            for (uint m = warp.Mask; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                ulong offset = warp.Addresses[lane];
                if (offset > (ulong)arguments.Length || offset + (ulong)bytes > (ulong)arguments.Length)
                {
                    warp.Report(FindingKind.OutOfBounds, op, lane, offset,
                        $"reads {bytes} bytes at offset {(long)offset} of {arguments.Length} bytes of parameters: check the index into the "
                        + "parameter");
                }
                else if (!GlobalMemoryInstructions.Misaligned(warp, op, lane, bytes, "reads"))
                {
                    MemoryAccess.ToRegisters(warp, op, lane, first + offset);
                }
            }
        }
    }
}
