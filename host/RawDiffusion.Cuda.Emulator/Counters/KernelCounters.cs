using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Counters;

/// <summary>Traffic of one kind of memory.</summary>
/// <param name="Requests">Warp-wide instructions.</param>
/// <param name="Transactions">32-byte sectors of global memory, or wavefronts of shared memory, that they took.</param>
/// <param name="Ideal">The least that the same bytes could take.</param>
/// <param name="Bytes">Bytes that the threads asked for.</param>
public readonly record struct Traffic(long Requests, long Transactions, long Ideal, long Bytes)
{
    /// <summary>Sum of two.</summary>
    public static Traffic operator +(Traffic a, Traffic b) =>
        new(a.Requests + b.Requests, a.Transactions + b.Transactions, a.Ideal + b.Ideal, a.Bytes + b.Bytes);
}

/// <summary>Memory traffic of one source line.</summary>
/// <param name="Location">The line.</param>
/// <param name="Instruction">PTX instruction.</param>
/// <param name="Shared">Whether transactions are shared-memory wavefronts; else they are global sectors.</param>
/// <param name="Traffic">How much. Transactions above the ideal are bank conflicts or uncoalesced accesses.</param>
public sealed record LineTraffic(SourceLocation Location, string Instruction, bool Shared, Traffic Traffic);

/// <summary>Tensor-core operations (a multiply-add is two) by operand type.</summary>
/// <param name="Half">f16 and bf16 with float32 accumulation.</param>
/// <param name="HalfAccumulator">f16 with f16 accumulation.</param>
/// <param name="TensorFloat">tf32.</param>
/// <param name="Integer">8-bit integers.</param>
public readonly record struct MatrixOperations(long Half, long HalfAccumulator, long TensorFloat, long Integer)
{
    /// <summary>All of them.</summary>
    public long Total => Half + HalfAccumulator + TensorFloat + Integer;

    /// <summary>Sum of two.</summary>
    public static MatrixOperations operator +(MatrixOperations a, MatrixOperations b) =>
        new(a.Half + b.Half, a.HalfAccumulator + b.HalfAccumulator, a.TensorFloat + b.TensorFloat, a.Integer + b.Integer);
}

/// <summary>
/// What one launch, or all launches of a kernel, did. PTX is counted, not machine code: the assembler may fuse or remove
/// instructions, so that counts of simple operations are upper estimates and memory and matrix counts exact.
/// </summary>
public sealed record KernelCounters
{
    /// <summary>The kernel's name.</summary>
    public required string Kernel { get; init; }

    /// <summary>Number of launches.</summary>
    public long Launches { get; init; } = 1;

    /// <summary>Blocks.</summary>
    public long Blocks { get; init; }

    /// <summary>Instructions that warps executed.</summary>
    public long WarpInstructions { get; init; }

    /// <summary>float32 operations of all threads; a fused multiply-add is two.</summary>
    public long Float32Operations { get; init; }

    /// <summary>f16 and bf16 operations outside tensor cores.</summary>
    public long Float16Operations { get; init; }

    /// <summary>float64 operations.</summary>
    public long Float64Operations { get; init; }

    /// <summary>Integer and logical operations.</summary>
    public long IntegerOperations { get; init; }

    /// <summary>ex2, lg2, sin, cos, tanh, rcp, rsqrt, sqrt, div.</summary>
    public long TranscendentalOperations { get; init; }

    /// <summary>Conversions between types.</summary>
    public long Conversions { get; init; }

    /// <summary>Warp-wide matrix instructions.</summary>
    public long MatrixInstructions { get; init; }

    /// <summary>What they computed.</summary>
    public MatrixOperations Matrix { get; init; }

    /// <summary>Loads of global memory, asynchronous copies included.</summary>
    public Traffic GlobalLoads { get; init; }

    /// <summary>Stores to global memory.</summary>
    public Traffic GlobalStores { get; init; }

    /// <summary>Loads and stores of shared memory, ldmatrix included.</summary>
    public Traffic Shared { get; init; }

    /// <summary>Loads and stores of local memory (spills and indexed arrays).</summary>
    public Traffic Local { get; init; }

    /// <summary>Atomic operations of all threads.</summary>
    public long Atomics { get; init; }

    /// <summary>Bytes of global memory touched at least once per launch; 0 where races between blocks are not checked.</summary>
    public long UniqueGlobalBytes { get; init; }

    /// <summary>Barriers that warps arrived at.</summary>
    public long Barriers { get; init; }

    /// <summary>Branches at which a warp's lanes parted.</summary>
    public long DivergentBranches { get; init; }

    /// <summary>The least time that the work can take at the architecture's published rates, in seconds.</summary>
    public double BoundSeconds { get; init; }

    /// <summary>Which rate decides: float32, integer, float16, float64, tensor, special, shared, L2, memory, issue or launch.</summary>
    public string Limit { get; init; } = "";

    /// <summary>Traffic by source line, most transactions above the ideal first. Of the latest launch where several are summed.</summary>
    public IReadOnlyList<LineTraffic> Lines { get; init; } = [];

    /// <summary>Sum with a later launch of the same kernel.</summary>
    public KernelCounters Plus(KernelCounters later) => this with
    {
        Launches = Launches + later.Launches,
        Blocks = Blocks + later.Blocks,
        WarpInstructions = WarpInstructions + later.WarpInstructions,
        Float32Operations = Float32Operations + later.Float32Operations,
        Float16Operations = Float16Operations + later.Float16Operations,
        Float64Operations = Float64Operations + later.Float64Operations,
        IntegerOperations = IntegerOperations + later.IntegerOperations,
        TranscendentalOperations = TranscendentalOperations + later.TranscendentalOperations,
        Conversions = Conversions + later.Conversions,
        MatrixInstructions = MatrixInstructions + later.MatrixInstructions,
        Matrix = Matrix + later.Matrix,
        GlobalLoads = GlobalLoads + later.GlobalLoads,
        GlobalStores = GlobalStores + later.GlobalStores,
        Shared = Shared + later.Shared,
        Local = Local + later.Local,
        Atomics = Atomics + later.Atomics,
        UniqueGlobalBytes = UniqueGlobalBytes + later.UniqueGlobalBytes,
        Barriers = Barriers + later.Barriers,
        DivergentBranches = DivergentBranches + later.DivergentBranches,
        BoundSeconds = BoundSeconds + later.BoundSeconds,
        Limit = later.BoundSeconds > BoundSeconds ? later.Limit : Limit,
        Lines = later.Lines,
    };
}
