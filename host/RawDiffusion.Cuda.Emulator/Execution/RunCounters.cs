using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>What one worker counted of a launch.</summary>
internal sealed unsafe class RunCounters : IDisposable
{
    /// <summary>Numbers per memory operation.</summary>
    public const int PerOperation = 4;

    /// <summary>Index of the number of warp-wide requests.</summary>
    public const int Requests = 0;

    /// <summary>Index of the sectors (global) or wavefronts (shared) that they took.</summary>
    public const int Transactions = 1;

    /// <summary>Index of the least number that the same bytes could take.</summary>
    public const int Ideal = 2;

    /// <summary>Index of the bytes that the lanes asked for.</summary>
    public const int Bytes = 3;

    /// <summary>Times each basic block was executed by a warp.</summary>
    public long* BlockRuns { get; private set; }

    /// <summary>Lanes that executed each basic block.</summary>
    public long* BlockLanes { get; private set; }

    /// <summary><see cref="PerOperation"/> numbers for each operation.</summary>
    public long* Operations { get; private set; }

    public long Divergences { get; set; }

    public long Barriers { get; set; }

    /// <summary>Bytes of global memory that no block of the launch had touched before.</summary>
    public long FreshBytes;

    public void Reset(KernelCode kernel)
    {
        Dispose();
        BlockRuns = (long*)NativeMemory.AllocZeroed((nuint)kernel.BlockCount, 8);
        BlockLanes = (long*)NativeMemory.AllocZeroed((nuint)kernel.BlockCount, 8);
        Operations = (long*)NativeMemory.AllocZeroed((nuint)Math.Max(1, kernel.OperationCount) * PerOperation, 8);
        Divergences = Barriers = FreshBytes = 0;
    }

    public void Dispose()
    {
        NativeMemory.Free(BlockRuns);
        NativeMemory.Free(BlockLanes);
        NativeMemory.Free(Operations);
        BlockRuns = BlockLanes = Operations = null;
    }
}
