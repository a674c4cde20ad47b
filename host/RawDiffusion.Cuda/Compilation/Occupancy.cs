namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// What one multiprocessor holds, from the table "Technical Specifications per Compute Capability" of the CUDA C++
/// programming guide.
/// </summary>
/// <param name="Warps">Most resident warps.</param>
/// <param name="Blocks">Most resident blocks.</param>
/// <param name="SharedBytes">Shared memory.</param>
/// <param name="SharedBytesPerBlock">Most shared memory of one block, after opting in.</param>
public sealed record MultiprocessorLimits(int Warps, int Blocks, int SharedBytes, int SharedBytesPerBlock)
{
    /// <summary>32-bit registers; the same for all capabilities from 8.0 on.</summary>
    public const int Registers = 65536;

    /// <summary>Most threads of a block.</summary>
    public const int ThreadsPerBlock = 1024;

    /// <summary>Shared memory that the system takes for itself in each block.</summary>
    public const int ReservedSharedBytes = 1024;

    private const int KiB = 1024;

    /// <summary>The limits of a compute capability: 80 for 8.0.</summary>
    /// <exception cref="ArgumentException">It is not in the table.</exception>
    public static MultiprocessorLimits Of(int computeCapability) => computeCapability switch
    {
        80 => new(64, 32, 164 * KiB, 163 * KiB),
        86 => new(48, 16, 100 * KiB, 99 * KiB),
        87 => new(48, 16, 164 * KiB, 163 * KiB),
        89 => new(48, 24, 100 * KiB, 99 * KiB),
        90 or 100 => new(64, 32, 228 * KiB, 227 * KiB),
        120 => new(48, 24, 100 * KiB, 99 * KiB),
        _ => throw new ArgumentException($"expected a compute capability of 80, 86, 87, 89, 90, 100 or 120, found {computeCapability}"),
    };
}

/// <summary>How many blocks of a kernel a multiprocessor holds at once, and what keeps it from holding more.</summary>
/// <param name="Blocks">Resident blocks; 0 when not even one fits.</param>
/// <param name="Warps">Resident warps.</param>
/// <param name="Fraction">Resident warps as a part of the most there can be.</param>
/// <param name="Limit">What is used up first: registers, shared memory, warps or blocks.</param>
public sealed record Occupancy(int Blocks, int Warps, double Fraction, string Limit)
{
    private const int WarpThreads = 32;

    // Registers are given out to warps in units of 256; each of the four parts of a multiprocessor has a quarter of them
    // and of the warps. Shared memory is given out in units of 128 bytes.
    private const int RegisterUnit = 256, Parts = 4, SharedUnit = 128;

    /// <summary>The occupancy of a launch.</summary>
    /// <param name="kernel">From <see cref="CubinInfo"/>.</param>
    /// <param name="blockThreads">Threads of a block.</param>
    /// <param name="dynamicSharedBytes">Dynamic shared memory of a block.</param>
    /// <param name="computeCapability">Of the device: 80 for 8.0.</param>
    /// <exception cref="ArgumentException">The capability is unknown, or a block has no thread or more than 1024.</exception>
    public static Occupancy Of(KernelResources kernel, int blockThreads, int dynamicSharedBytes, int computeCapability)
    {
        var limits = MultiprocessorLimits.Of(computeCapability);
        if (blockThreads is < 1 or > MultiprocessorLimits.ThreadsPerBlock)
            throw new ArgumentException($"a block has 1 to {MultiprocessorLimits.ThreadsPerBlock} threads, not {blockThreads}");
        int warps = Units(blockThreads, WarpThreads);
        int registersPerWarp = Math.Max(1, Units(kernel.Registers * WarpThreads, RegisterUnit)) * RegisterUnit;
        int warpsByRegisters = MultiprocessorLimits.Registers / Parts / registersPerWarp * Parts;
        int shared = kernel.StaticSharedBytes + dynamicSharedBytes;
        int sharedTaken = Units(shared + MultiprocessorLimits.ReservedSharedBytes, SharedUnit) * SharedUnit;
        (int Blocks, string Limit)[] bounds =
        [
            (limits.Blocks, "blocks"),
            (limits.Warps / warps, "warps"),
            (warpsByRegisters / warps, "registers"),
            (shared > limits.SharedBytesPerBlock ? 0 : limits.SharedBytes / sharedTaken, "shared memory"),
        ];
        (int blocks, string limit) = bounds.MinBy(b => b.Blocks);
        return new(blocks, blocks * warps, (double)blocks * warps / limits.Warps, limit);
    }

    private static int Units(int amount, int unit) => (amount + unit - 1) / unit;
}
