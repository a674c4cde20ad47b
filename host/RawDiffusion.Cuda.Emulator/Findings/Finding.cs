namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>What is wrong.</summary>
public enum FindingKind
{
    /// <summary>An access outside every live allocation, or outside shared, local or parameter memory.</summary>
    OutOfBounds,

    /// <summary>An address that is not a multiple of the access's size.</summary>
    Misaligned,

    /// <summary>A read of memory that nothing wrote.</summary>
    Undefined,

    /// <summary>Two threads of a block touch the same shared memory, one of them writing, with nothing that orders them.</summary>
    SharedRace,

    /// <summary>Shared memory that an asynchronous copy is still going to write was touched.</summary>
    AsyncCopyPending,

    /// <summary>Two blocks of a launch touch the same global memory, one of them writing, with nothing that orders them.</summary>
    GlobalRace,

    /// <summary>Memory that is read through the read-only cache is written by the same launch.</summary>
    Incoherent,

    /// <summary>Two nodes of a graph, neither of which waits for the other, touch the same memory, one of them writing.</summary>
    GraphRace,

    /// <summary>A barrier that only some of the threads reach.</summary>
    Barrier,

    /// <summary>Threads wait for each other for ever, or a loop does not end.</summary>
    Deadlock,

    /// <summary>A warp-wide instruction that not all the lanes it names execute.</summary>
    Convergence,

    /// <summary>The kernel executed a trap.</summary>
    Trap,
}

/// <summary>One fault of a kernel.</summary>
/// <param name="Kind">What is wrong.</param>
/// <param name="Kernel">Name of the kernel.</param>
/// <param name="Location">Source line of the instruction that showed it.</param>
/// <param name="Block">Coordinates of the first block that showed it.</param>
/// <param name="Thread">Coordinates of the first thread that showed it.</param>
/// <param name="Address">Address in its memory space, 0 where none is meant.</param>
/// <param name="Details">What happened and what to do.</param>
public sealed record Finding(
    FindingKind Kind, string Kernel, SourceLocation Location, (int X, int Y, int Z) Block, (int X, int Y, int Z) Thread, ulong Address,
        string Details)
{
    /// <summary>How often the same fault was seen (same kind, kernel and line).</summary>
    public long Count { get; init; } = 1;

    /// <summary>One line for people.</summary>
    public override string ToString() =>
        $"{Location} {Kernel} block ({Block.X},{Block.Y},{Block.Z}) thread ({Thread.X},{Thread.Y},{Thread.Z}): {Details}"
        + (Count > 1 ? $" [{Count} times]" : "");
}

/// <summary>A launch in which the emulator found faults.</summary>
/// <param name="findings">All of them, the first first.</param>
public sealed class EmulatorException(IReadOnlyList<Finding> findings) : Exception(Summary(findings))
{
    private const int Shown = 5;

    /// <summary>What was found, by kind, kernel and line.</summary>
    public IReadOnlyList<Finding> Findings => findings;

    private static string Summary(IReadOnlyList<Finding> findings) =>
        $"{findings.Count} fault(s) found:{Environment.NewLine}"
        + string.Join(Environment.NewLine, findings.Take(Shown))
        + (findings.Count > Shown ? $"{Environment.NewLine}and {findings.Count - Shown} more" : "");
}
