namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>How an operation's result gets into the register file.</summary>
internal enum Writes : byte
{
    /// <summary>The handler looks at the mask itself.</summary>
    Itself,

    /// <summary>A predicate: 32 bits.</summary>
    Predicate,

    /// <summary>32 lanes of 4 bytes.</summary>
    Words,

    /// <summary>32 lanes of 8 bytes.</summary>
    Longs,
}

/// <summary>What an instruction counts as.</summary>
internal enum Work : byte
{
    Other,
    Integer,
    Float32,
    Float16,
    Float64,
    Transcendental,
    Conversion,
    Matrix,
    Memory,
    Control,
}

/// <summary>
/// One decoded instruction: a handler and where its operands lie. Offsets are into the warp's register file, negative
/// ones into the constants (<see cref="Warp.At"/>).
/// </summary>
internal unsafe struct Operation
{
    public const int NoGuard = int.MinValue;

    /// <summary>
    /// Executes for a warp. The third argument is where a result goes; a handler that does not write itself computes all
    /// 32 lanes, whatever the mask.
    /// </summary>
    public delegate*<Warp, Operation*, byte*, void> Run;

    public int Destination;
    public int A;
    public int B;
    public int C;

    /// <summary>Offset of the predicate that guards, or <see cref="NoGuard"/>.</summary>
    public int Guard;

    /// <summary>All ones where the guard is negated.</summary>
    public uint GuardFlip;

    public Writes Writes;
    public Work Work;

    /// <summary>Weight of <see cref="Work"/> per lane: 2 for a fused multiply-add.</summary>
    public byte Weight;

    /// <summary>A second destination (predicate of setp and shfl), or 0.</summary>
    public int Second;

    /// <summary>Index in the kernel, for counters and source lines.</summary>
    public int Index;

    /// <summary>What the handler needs beyond the operands: offset of an address, width, mode.</summary>
    public long Immediate;
    public int X;
    public int Y;
    public int Z;

    /// <summary>Offsets of further operands: elements of vectors.</summary>
    public int* List;
}

/// <summary>A run of operations that is entered only at its start.</summary>
internal struct BasicBlock
{
    public int First;

    /// <summary>One past the last operation.</summary>
    public int End;

    public BlockExit Exit;

    /// <summary>Where a branch goes.</summary>
    public int Target;

    /// <summary>Where lanes go on that do not branch.</summary>
    public int Next;

    /// <summary>Predicate of a branch or exit, or <see cref="Operation.NoGuard"/>.</summary>
    public int Guard;

    public uint GuardFlip;

    /// <summary>The instruction that ends the block.</summary>
    public int ExitIndex;
}

internal enum BlockExit : byte
{
    FallThrough,
    Branch,
    Exit,
    Barrier,

    /// <summary>Lets other warps run: nanosleep.</summary>
    Yield,
    Trap,
}
