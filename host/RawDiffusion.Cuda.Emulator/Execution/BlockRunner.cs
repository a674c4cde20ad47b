using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>
/// Executes thread blocks, one after the other: warps take turns between barriers; within a warp the group of lanes at the
/// basic block that comes first in <see cref="Decoding.BlockOrder"/> runs until it reaches another group's.
/// </summary>
internal sealed unsafe partial class BlockRunner : IDisposable
{
    private const long Quantum = 1 << 16;
    private readonly Warp[] warps;
    private readonly byte* scratch = (byte*)NativeMemory.AlignedAlloc(256, 64);
    private byte* arena;
    private long arenaBytes;
    private byte* constants;
    private KernelCode kernel = null!;
    private (int X, int Y, int Z) blockIndex;
    private int warpCount;
    private int threadCount;
    private bool fenced;

    public BlockRunner()
    {
        warps = new Warp[32];
        for (int i = 0; i < warps.Length; i++) warps[i] = new Warp(this, i);
    }

    public EmulatedLaunch Launch { get; private set; } = null!;

    /// <summary>The block's shared memory.</summary>
    public byte* Shared { get; private set; }

    public int SharedBytes { get; private set; }

    public int LocalBytes { get; private set; }

    public SharedRaces SharedRaces { get; } = new();

    public RunCounters Counters { get; } = new();

    public long BlockNumber { get; private set; }

    public bool CheckUndefined { get; private set; }

    public bool CheckSharedRaces { get; private set; }

    /// <summary>Kernel parameters as given.</summary>
    public ReadOnlySpan<byte> Arguments => Launch.Arguments;

    public void Dispose()
    {
        NativeMemory.AlignedFree(scratch);
        NativeMemory.AlignedFree(arena);
        SharedRaces.Dispose();
        Counters.Dispose();
    }

    /// <summary>Runs one block to its end.</summary>
    public void Run(long number)
    {
        BlockNumber = number;
        Dim3 grid = Launch.Geometry.Grid;
        blockIndex = ((int)(number % grid.X), (int)(number / grid.X % grid.Y), (int)(number / grid.X / grid.Y));
        fenced = false;
        foreach ((int offset, LaunchSpecial special) in kernel.LaunchSpecials)
        {
            if (special <= LaunchSpecial.BlockZ)
            {
                Broadcast(offset, special == LaunchSpecial.BlockX ? blockIndex.X : special == LaunchSpecial.BlockY ? blockIndex.Y
                    : blockIndex.Z, 4);
            }
        }

        SharedRaces.Reset(SharedBytes, warpCount);
        for (int i = 0; i < warpCount; i++)
        {
            int lanes = Math.Min(Warp.Size, threadCount - i * Warp.Size);
            warps[i].Start(lanes == Warp.Size ? uint.MaxValue : (1u << lanes) - 1);
        }

        bool running = true;
        while (running && !Launch.Stopped)
        {
            running = false;
            for (int i = 0; i < warpCount; i++)
            {
                running |= warps[i].GroupCount > 0;
                Run(warps[i]);
            }

            bool released = BlockBarriers.Release(this, warps.AsSpan(0, warpCount));
            if (!running && !released)
            {
                BlockBarriers.ReportDeadlock(this, warps.AsSpan(0, warpCount));
                break;
            }

            running |= released;
            if (!running || !AnyAlive()) break;
        }

        for (int i = 0; i < warpCount; i++) Instructions.AsyncCopyInstructions.CompleteAll(warps[i]);
    }

    private bool AnyAlive()
    {
        for (int i = 0; i < warpCount; i++)
        {
            if (warps[i].Live != 0) return true;
        }

        return false;
    }

    private void Run(Warp warp)
    {
        BasicBlock* blocks = kernel.Blocks;
        long budget = warp.Steps + Quantum;
        while (warp.GroupCount > 0)
        {
            if (warp.Steps > budget || Launch.Stopped)
            {
                if (warp.Steps > Launch.Options.LoopLimit)
                {
                    Report(FindingKind.Deadlock, blocks[warp.LowestBlock].ExitIndex, warp.Index * Warp.Size, 0,
                        $"the warp executed {warp.Steps} basic blocks without an end: a loop does not end, or it waits for another block");
                    Launch.Stop();
                }

                return;
            }

            (int block, uint mask) = warp.TakeLowest();
            int next = warp.LowestBlock;
            while (mask != 0)
            {
                warp.Steps++;
                BasicBlock* current = blocks + block;
                Counters.BlockRuns[block]++;
                Counters.BlockLanes[block] += BitOperations.PopCount(mask);
                Execute(warp, current->First, current->End, mask);
                block = current->Next;
                if (current->Exit != BlockExit.FallThrough && !Leave(warp, current, ref block, ref mask))
                {
                    break;
                }

                if (mask == 0) break;

                if (block >= next || warp.Steps > budget)
                {
                    warp.Insert(block, mask);
                    break;
                }
            }
        }
    }

    /// <summary>What a basic block's last instruction does; false where the group does not go on as it is.</summary>
    private bool Leave(Warp warp, BasicBlock* current, ref int block, ref uint mask)
    {
        uint taken = current->Guard == Operation.NoGuard ? mask : mask & (*(uint*)warp.At(current->Guard) ^ current->GuardFlip);
        switch (current->Exit)
        {
            case BlockExit.Branch:
                if (taken == mask)
                {
                    block = current->Target;
                }
                else if (taken != 0)
                {
                    Counters.Divergences++;
                    warp.Insert(block, mask & ~taken);
                    warp.Insert(current->Target, taken);
                    return false;
                }

                return true;
            case BlockExit.Exit:
                warp.Live &= ~taken;
                mask &= ~taken;
                return true;
            case BlockExit.Barrier:
                if (taken != 0)
                {
                    Counters.Barriers++;
                    Operation* operation = kernel.Operations + current->ExitIndex;
                    bool waits = BlockBarriers.Arrive(this, warp, operation, taken, block);
                    mask &= waits ? ~taken : uint.MaxValue;
                    if (mask != 0 && waits)
                    {
                        warp.Insert(block, mask);
                        return false;
                    }
                }

                return true;
            case BlockExit.Trap:
                if (taken != 0)
                {
                    Report(FindingKind.Trap, current->ExitIndex, warp.Index * Warp.Size + BitOperations.TrailingZeroCount(taken), 0,
                        "the kernel executed a trap");
                    Launch.Stop();
                }

                return true;
            case BlockExit.Yield:
                warp.Insert(block, mask);
                warp.Steps += Quantum;
                return false;
            default:
                throw new UnreachableException($"there is no exit {current->Exit}");
        }
    }

    private void Execute(Warp warp, int first, int end, uint mask)
    {
        Operation* op = kernel.Operations + first;
        Operation* last = kernel.Operations + end;
        byte* registers = warp.Registers;
        warp.Mask = mask;
        if (mask == warp.Live)
        {
            for (; op < last; op++)
            {
                if (op->Guard == Operation.NoGuard) op->Run(warp, op, registers + op->Destination);
                else RunGuarded(warp, op, mask);
            }
        }
        else
        {
            for (; op < last; op++)
            {
                uint lanes = op->Guard == Operation.NoGuard ? mask : mask & (*(uint*)warp.At(op->Guard) ^ op->GuardFlip);
                if (lanes != 0) RunMasked(warp, op, lanes);
            }
        }
    }

    private void RunGuarded(Warp warp, Operation* op, uint mask)
    {
        uint lanes = mask & (*(uint*)warp.At(op->Guard) ^ op->GuardFlip);
        if (lanes == mask)
        {
            op->Run(warp, op, warp.Registers + op->Destination);
        }
        else if (lanes != 0)
        {
            RunMasked(warp, op, lanes);
            warp.Mask = mask;
        }
    }

    private void RunMasked(Warp warp, Operation* op, uint lanes)
    {
        warp.Mask = lanes;
        byte* target = warp.Registers + op->Destination;
        if (op->Writes == Writes.Itself)
        {
            op->Run(warp, op, target);
            return;
        }

        op->Run(warp, op, scratch);
        switch (op->Writes)
        {
            case Writes.Predicate:
                *(uint*)target = (*(uint*)target & ~lanes) | (*(uint*)scratch & lanes);
                break;
            case Writes.Words:
                BlendWords(target, scratch, lanes);
                break;
            case Writes.Longs:
                BlendLongs(target, scratch, lanes);
                break;
            default:
                throw new UnreachableException($"there is no write {op->Writes}");
        }
    }

    private static void BlendWords(byte* target, byte* from, uint lanes)
    {
        var bits = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        var low = Vector512.Equals(Vector512.Create(lanes) & bits, bits);
        var high = Vector512.Equals(Vector512.Create(lanes >> 16) & bits, bits);
        Vector512.ConditionalSelect(low, Vector512.Load((uint*)from), Vector512.Load((uint*)target)).Store((uint*)target);
        Vector512.ConditionalSelect(high, Vector512.Load((uint*)from + 16), Vector512.Load((uint*)target + 16)).Store((uint*)target + 16);
    }

    private static void BlendLongs(byte* target, byte* from, uint lanes)
    {
        var bits = Vector512.Create(1ul, 2, 4, 8, 16, 32, 64, 128);
        for (int i = 0; i < 4; i++)
        {
            var chosen = Vector512.Equals(Vector512.Create((ulong)(lanes >> (8 * i))) & bits, bits);
            Vector512.ConditionalSelect(chosen, Vector512.Load((ulong*)from + 8 * i), Vector512.Load((ulong*)target + 8 * i))
                .Store((ulong*)target + 8 * i);
        }
    }

    /// <summary>membar.gl or stronger by a thread of this block.</summary>
    public void Fence()
    {
        fenced = true;
        Launch.Races.Acquire(BlockNumber);
    }

    /// <summary>Before an atomic operation on global memory by threads of this block.</summary>
    public void BeforeGlobalAtomic()
    {
        if (fenced) Launch.Races.Release(BlockNumber);
    }

    /// <summary>After it.</summary>
    public void AfterGlobalAtomic() => Launch.Races.Observe(BlockNumber);

    public void Report(FindingKind kind, int operation, int thread, ulong address, string details)
    {
        Dim3 block = Launch.Geometry.Block;
        Launch.Findings.Add(new(kind, kernel.Name, kernel.Locations[operation], blockIndex,
            (thread % block.X, thread / block.X % block.Y, thread / block.X / block.Y), address, details));
    }

    /// <summary>A thread's coordinates for people.</summary>
    public string ThreadName(int thread)
    {
        Dim3 block = Launch.Geometry.Block;
        return $"({thread % block.X},{thread / block.X % block.Y},{thread / block.X / block.Y})";
    }
}
