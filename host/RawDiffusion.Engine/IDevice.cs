namespace RawDiffusion.Engine;

/// <summary>Compiles graphs into executables.</summary>
public interface IDevice : IDisposable
{
    /// <summary>What it is, for people: <c>cpu (AVX-512, 2 threads)</c>.</summary>
    string Description { get; }

    /// <summary>What it can do at most in a second; null where nobody publishes it.</summary>
    PeakRates? Peak => null;

    /// <summary>
    /// Whether <see cref="IExecutable.Profile"/> gives lower bounds from counted work and published rates instead of
    /// measured times.
    /// </summary>
    bool TimesAreBounds => false;

    /// <summary>Runs the passes, plans memory, repacks constants and makes the graph runnable.</summary>
    /// <exception cref="GraphException">An operator has no kernel on this device.</exception>
    IExecutable Compile(Graph graph, CompileOptions? options = null);
}

/// <summary>
/// A graph that a device can run again and again. It owns its memory. Not thread-safe: one run at a time.
/// </summary>
public interface IExecutable : IDisposable
{
    /// <summary>Bytes of the arena, the constants and scratch memory.</summary>
    long MemoryBytes { get; }

    /// <summary>Copies data into an input or a state.</summary>
    /// <exception cref="GraphException">No such name, or another element count.</exception>
    void Write(string name, ReadOnlySpan<float> data);

    /// <summary>Copies integers into an input or a state.</summary>
    /// <exception cref="GraphException">No such name, or another element count.</exception>
    void Write(string name, ReadOnlySpan<int> data);

    /// <summary>Copies an output or a state out.</summary>
    /// <exception cref="GraphException">No such name, or another element count.</exception>
    void Read(string name, Span<float> destination);

    /// <summary>Copies data into a part of an input or a state.</summary>
    /// <param name="name">Of the input or state.</param>
    /// <param name="first">The first element to write.</param>
    /// <param name="data">The elements.</param>
    /// <exception cref="GraphException">No such name, or it has no such elements.</exception>
    void WritePart(string name, long first, ReadOnlySpan<float> data);

    /// <summary>Copies a part of an output or a state out.</summary>
    /// <param name="name">Of the output or state.</param>
    /// <param name="first">The first element to read.</param>
    /// <param name="destination">Receives the elements.</param>
    /// <exception cref="GraphException">No such name, or it has no such elements.</exception>
    void ReadPart(string name, long first, Span<float> destination);

    /// <summary>
    /// Executes all nodes and the state updates. A device may return before the work is done: <see cref="Read"/> and
    /// <see cref="Synchronize"/> wait for it.
    /// </summary>
    /// <exception cref="OperationCanceledException">Cancelled between two kernels; states may be half updated.</exception>
    /// <exception cref="NonFiniteException">With <see cref="CompileOptions.Guard"/>: a kernel produced NaN or infinity.</exception>
    void Run(CancellationToken cancellation = default);

    /// <summary>Waits until everything that was started is done.</summary>
    void Synchronize();

    /// <summary>Executes once and times each kernel.</summary>
    IReadOnlyList<KernelTime> Profile(CancellationToken cancellation = default);
}

/// <summary>One kernel's share of a run.</summary>
/// <param name="Name">Node name.</param>
/// <param name="Kernel">Kernel and variant.</param>
/// <param name="Seconds">Wall time.</param>
/// <param name="Cost">Arithmetic and compulsory traffic.</param>
public sealed record KernelTime(string Name, string Kernel, double Seconds, Cost Cost);

/// <summary>Peak rates of a device: the two walls of its roofline.</summary>
/// <param name="FlopsPerSecond">Arithmetic in the precision at hand.</param>
/// <param name="BytesPerSecond">Device memory.</param>
public readonly record struct PeakRates(double FlopsPerSecond, double BytesPerSecond)
{
    /// <summary>Least seconds that a cost can take.</summary>
    public double Bound(Cost cost) => Math.Max(cost.Flops / FlopsPerSecond, cost.Bytes / BytesPerSecond);
}

/// <summary>Choices that change how a graph is compiled, never what it computes.</summary>
public sealed record CompileOptions
{
    /// <summary>Evaluate what depends on constants alone when compiling.</summary>
    public bool FoldConstants { get; init; } = true;

    /// <summary>Compute what rows of a group share before it is repeated for each of them.</summary>
    public bool ShareAcrossRows { get; init; } = true;

    /// <summary>Merge nodes into the convolutions and pools that read or feed them.</summary>
    public bool Fuse { get; init; } = true;

    /// <summary>
    /// The executable will run once or a few times: prefer what is quick to prepare over what is quick to run.
    /// </summary>
    public bool RunsOnce { get; init; }

    /// <summary>
    /// Look through every kernel's output for NaN and infinity: <see cref="IExecutable.Run"/> then throws
    /// <see cref="NonFiniteException"/> at the first. Slow.
    /// </summary>
    public bool Guard { get; init; }

    /// <summary>
    /// Compute what a training step's gradients read again, just before they do, instead of keeping it: less memory, and a little
    /// more time where it was fused into a forward kernel.
    /// </summary>
    public bool Recompute { get; init; }

    /// <summary>Let values whose lifetimes do not overlap share memory.</summary>
    public bool ReuseMemory { get; init; } = true;
}
