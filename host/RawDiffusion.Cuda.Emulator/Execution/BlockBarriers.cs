using System.Numerics;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>What a barrier instruction does besides waiting (<see cref="Operation.X"/>).</summary>
internal enum BarrierKind
{
    Sync,
    Arrive,
    ReduceAnd,
    ReduceOr,
    ReducePopulation,
}

/// <summary>
/// The 16 barriers of a block. Threads arrive singly, as on hardware since Volta; a barrier without a thread count completes
/// when all threads that have not exited arrived.
/// </summary>
internal static unsafe class BlockBarriers
{
    /// <summary>Marks a group that arrived and went on.</summary>
    private const int Passed = -1;

    /// <summary>Lanes arrive at a barrier; true where they wait.</summary>
    public static bool Arrive(BlockRunner block, Warp warp, Operation* op, uint lanes, int resume)
    {
        int first = BitOperations.TrailingZeroCount(lanes);
        int barrier = ((int*)warp.At(op->A))[first];
        if (barrier is < 0 or > 15)
        {
            warp.Report(FindingKind.Barrier, op, first, 0, $"barrier {barrier} does not exist: a block has barriers 0 to 15");
            return false;
        }

        bool waits = (BarrierKind)op->X != BarrierKind.Arrive;
        warp.Waiting.Add((barrier, waits ? resume : Passed, lanes, op->Index));
        return waits;
    }

    /// <summary>Lets the threads go whose barriers are complete; false where none is.</summary>
    public static bool Release(BlockRunner block, ReadOnlySpan<Warp> warps)
    {
        bool any = false;
        int live = 0;
        uint named = 0;
        foreach (Warp warp in warps)
        {
            live += BitOperations.PopCount(warp.Live);
            foreach ((int Barrier, int Resume, uint Mask, int Operation) group in warp.Waiting) named |= 1u << group.Barrier;
        }

        for (int barrier = 0; named >> barrier != 0; barrier++)
        {
            any |= ((named >> barrier) & 1) != 0 && Release(block, warps, barrier, live);
        }

        return any;
    }

    private static bool Release(BlockRunner block, ReadOnlySpan<Warp> warps, int barrier, int live)
    {
        int arrived = 0, expected = live;
        uint arrivedWarps = 0, waitingWarps = 0;
        Operation* reduction = null;
        uint and = uint.MaxValue, or = 0;
        int population = 0;
        int sample = 0;
        foreach (Warp warp in warps)
        {
            foreach ((int number, int resume, uint mask, int operation) in warp.Waiting)
            {
                if (number != barrier) continue;

                Operation* op = block.Launch.Kernel.Operations + operation;
                sample = operation;
                arrived += BitOperations.PopCount(mask);
                arrivedWarps |= 1u << warp.Index;
                waitingWarps |= resume == Passed ? 0 : 1u << warp.Index;
                if (op->B != Operation.NoGuard)
                {
                    expected = ((int*)warp.At(op->B))[BitOperations.TrailingZeroCount(mask)];
                }

                if (op->X >= (int)BarrierKind.ReduceAnd)
                {
                    reduction = op;
                    uint values = *(uint*)warp.At(op->C) ^ (uint)op->Z;
                    and &= values | ~mask;
                    or |= values & mask;
                    population += BitOperations.PopCount(values & mask);
                }
            }
        }

        if (arrived < expected || waitingWarps == 0) return false;

        int threads = (int)block.Launch.Geometry.Block.Count;
        if (expected == live && live < threads && (block.Launch.Kernel.Operations + sample)->B == Operation.NoGuard)
        {
            block.Report(FindingKind.Barrier, sample, FirstExited(warps), 0,
                $"{threads - live} of the block's {threads} threads exited before the barrier, which hardware does not promise to survive: "
                + "let them run to the barrier");
        }

        block.SharedRaces.Barrier(arrivedWarps, waitingWarps);
        foreach (Warp warp in warps)
        {
            CheckAligned(block, warp, barrier);
            for (int i = warp.Waiting.Count - 1; i >= 0; i--)
            {
                (int number, int resume, uint mask, int operation) = warp.Waiting[i];
                if (number != barrier) continue;

                warp.Waiting.RemoveAt(i);
                if (resume == Passed) continue;

                Operation* op = block.Launch.Kernel.Operations + operation;
                if (reduction != null && op->X >= (int)BarrierKind.ReduceAnd)
                {
                    WriteReduction(warp, op, mask, and == uint.MaxValue, or != 0, population);
                }

                warp.Insert(resume, mask);
            }
        }

        return true;
    }

    /// <summary>
    /// Reports a warp whose threads reached an aligned barrier at different instructions or not all. That they came one group
    /// after the other is no fault: which lanes meet before the barrier is the assembler's choice.
    /// </summary>
    private static void CheckAligned(BlockRunner block, Warp warp, int barrier)
    {
        uint lanes = 0;
        int first = -1;
        bool apart = false;
        foreach ((int number, int _, uint mask, int operation) in warp.Waiting)
        {
            if (number == barrier)
            {
                apart |= first >= 0 && operation != first;
                first = first < 0 ? operation : first;
                lanes |= mask;
            }
        }

        if (first >= 0 && (block.Launch.Kernel.Operations + first)->Y != 0 && (apart || (warp.Live & ~lanes) != 0))
        {
            block.Report(FindingKind.Barrier, first, warp.Index * Warp.Size + BitOperations.TrailingZeroCount(lanes), 0, apart
                ? "threads of one warp reach the barrier at different instructions: move the barrier out of the divergent code"
                : $"only {BitOperations.PopCount(lanes)} of the {BitOperations.PopCount(warp.Live)} running threads of the warp reach the "
                + "barrier, thread "
                    + $"{block.ThreadName(warp.Index * Warp.Size + BitOperations.TrailingZeroCount(warp.Live & ~lanes))} is not among "
                    + "them: move the barrier out of the divergent code");
        }
    }

    private static void WriteReduction(Warp warp, Operation* op, uint mask, bool and, bool or, int population)
    {
        byte* target = warp.Registers + op->Destination;
        if ((BarrierKind)op->X == BarrierKind.ReducePopulation)
        {
            for (int lane = 0; lane < Warp.Size; lane++)
            {
                if (((mask >> lane) & 1) != 0) ((int*)target)[lane] = population;
            }
        }
        else
        {
            bool value = (BarrierKind)op->X == BarrierKind.ReduceAnd ? and : or;
            *(uint*)target = value ? *(uint*)target | mask : *(uint*)target & ~mask;
        }
    }

    private static int FirstExited(ReadOnlySpan<Warp> warps)
    {
        foreach (Warp warp in warps)
        {
            if (warp.Live != uint.MaxValue)
            {
                return warp.Index * Warp.Size + BitOperations.TrailingZeroCount(~warp.Live);
            }
        }

        return 0;
    }

    /// <summary>Says who waits where when nobody can go on.</summary>
    public static void ReportDeadlock(BlockRunner block, ReadOnlySpan<Warp> warps)
    {
        foreach (Warp warp in warps)
        {
            foreach ((int barrier, int resume, uint mask, int operation) in warp.Waiting)
            {
                if (resume != Passed)
                {
                    block.Report(FindingKind.Deadlock, operation, warp.Index * Warp.Size + BitOperations.TrailingZeroCount(mask), 0,
                        $"waits at barrier {barrier} for ever: fewer threads arrive than the barrier expects; give every thread that takes "
                        + "part the same barrier number and count");
                    block.Launch.Stop();
                }
            }
        }
    }
}
