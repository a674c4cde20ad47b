using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>
/// 32 threads: their registers, which of them still run, and where the groups that diverged from each other stand.
/// </summary>
internal sealed unsafe class Warp
{
    public const int Size = 32;

    /// <summary>Groups of lanes that can run, highest basic block first; there are never more than lanes.</summary>
    private readonly (int Block, uint Mask)[] groups = new (int, uint)[Size + 1];

    private readonly ulong[] addresses = GC.AllocateArray<ulong>(Size + 8, pinned: true);

    public Warp(BlockRunner block, int index)
    {
        Block = block;
        Index = index;
        Addresses = (ulong*)(((ulong)Unsafe.AsPointer(ref addresses[0]) + 63) & ~63ul);
    }

    public BlockRunner Block { get; }

    public int Index { get; }

    /// <summary>Addresses of the access under execution, one per lane.</summary>
    public ulong* Addresses { get; }

    /// <summary>The register file: per register 32 lanes side by side.</summary>
    public byte* Registers;

    /// <summary>End of the constants, which all warps of a worker share.</summary>
    public byte* Constants;

    /// <summary>Local memory of lane 0; the other lanes' follows.</summary>
    public byte* Local;

    /// <summary>Lanes for which the operation under execution runs.</summary>
    public uint Mask;

    /// <summary>The carry flag of each lane (add.cc and its relatives).</summary>
    public uint Carry;

    /// <summary>Lanes that exist and have not exited.</summary>
    public uint Live;

    /// <summary>Basic blocks that this warp executed in this launch's block.</summary>
    public long Steps;

    /// <summary>Groups of lanes that wait at a barrier, and where they go on.</summary>
    public List<(int Barrier, int Resume, uint Mask, int Operation)> Waiting { get; } = [];

    public AsyncCopies Copies { get; } = new();

    public int GroupCount { get; private set; }

    public int LowestBlock => GroupCount == 0 ? int.MaxValue : groups[GroupCount - 1].Block;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* At(int offset) => (offset >= 0 ? Registers : Constants) + offset;

    public void Start(uint lanes)
    {
        Live = lanes;
        GroupCount = 0;
        Steps = 0;
        Waiting.Clear();
        Copies.Clear();
        Insert(0, lanes);
    }

    public (int Block, uint Mask) TakeLowest() => groups[--GroupCount];

    /// <summary>Makes lanes runnable at a basic block; lanes that stand there already are joined.</summary>
    public void Insert(int block, uint mask)
    {
        int at = GroupCount;
        while (at > 0 && groups[at - 1].Block < block) at--;

        if (at > 0 && groups[at - 1].Block == block)
        {
            groups[at - 1].Mask |= mask;
            return;
        }

        Array.Copy(groups, at, groups, at + 1, GroupCount - at);
        groups[at] = (block, mask);
        GroupCount++;
    }

    public void Report(FindingKind kind, Operation* op, int lane, ulong address, string details) =>
        Block.Report(kind, op->Index, Index * Size + lane, address, details);
}
