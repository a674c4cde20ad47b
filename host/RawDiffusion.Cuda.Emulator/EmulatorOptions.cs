namespace RawDiffusion.Cuda.Emulator;

/// <summary>What is emulated and what is checked.</summary>
public sealed record EmulatorOptions
{
    /// <summary>Compute capability whose limits and published rates apply: 80, 86, 89 or 90.</summary>
    public int Architecture { get; init; } = 80;

    /// <summary>Blocks that run at the same time; 0 for one per core.</summary>
    public int Threads { get; init; }

    /// <summary>
    /// Run blocks far from their order, as a device may: two images that share a counter by mistake, say, are not found
    /// while all blocks of one come before all of the other.
    /// </summary>
    public bool ScatterBlocks { get; init; }

    /// <summary>Collect findings in <see cref="EmulatedDriver.Findings"/> instead of throwing at the launch that has them.</summary>
    public bool Collect { get; init; }

    /// <summary>Report reads of memory that nothing wrote.</summary>
    public bool CheckUndefined { get; init; } = true;

    /// <summary>Report races between threads of a block through shared memory.</summary>
    public bool CheckSharedRaces { get; init; } = true;

    /// <summary>Report races between blocks of a launch through global memory.</summary>
    public bool CheckGlobalRaces { get; init; } = true;

    /// <summary>Report races between nodes of a graph that do not wait for each other.</summary>
    public bool CheckGraphs { get; init; } = true;

    /// <summary>Warp-level basic blocks that one warp may execute before it counts as a loop without end.</summary>
    public long LoopLimit { get; init; } = 2_000_000_000;
}
