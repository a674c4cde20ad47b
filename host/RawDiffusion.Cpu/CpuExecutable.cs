using System.Diagnostics;
using System.Runtime.InteropServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cpu;

/// <summary>Memory of an executable while its kernels are prepared.</summary>
internal sealed unsafe class CpuContext(MemoryPlan plan, NativeBuffer arena, List<NativeBuffer> owned, bool runsOnce, ICommunicator? ranks)
{
    private readonly Dictionary<Value, NativeBuffer> constants = [];

    /// <summary>Where a value lives; a constant is copied to memory when it is first asked for.</summary>
    public float* Pointer(Value value)
    {
        (Value root, long first) = value.Viewed;
        if (root.Kind != ValueKind.Constant) return (float*)((byte*)arena.Pointer + plan.Offset(value));
        if (!constants.TryGetValue(root, out NativeBuffer? buffer))
        {
            buffer = Allocate(root.Shape.Count);
            root.Constant!(new Span<float>(buffer.Pointer, (int)root.Shape.Count));
            constants.Add(root, buffer);
        }
        return buffer.Pointer + first;
    }

    /// <summary>Where an optional value lives; null where it is absent.</summary>
    public float* PointerOrNull(Value? value) => value is null ? null : Pointer(value);

    /// <summary>Zeroed memory for so many floats, freed with the executable.</summary>
    public NativeBuffer Allocate(long floats)
    {
        var buffer = new NativeBuffer(4 * floats, "packed weights and states", hugePages: !runsOnce);
        owned.Add(buffer);
        return buffer;
    }

    /// <summary>
    /// A constant's elements in memory of their own, for a kernel that repacks them; the caller disposes. Null where the
    /// value is no constant.
    /// </summary>
    public NativeBuffer? ReadConstant(Value value)
    {
        (Value constant, long first) = value.Viewed;
        if (constant.Kind != ValueKind.Constant) return null;
        var buffer = new NativeBuffer(4 * constant.Shape.Count, "a constant");
        constant.Constant!(new Span<float>(buffer.Pointer, (int)constant.Shape.Count));
        if (first > 0)
            new Span<float>(buffer.Pointer + first, (int)value.Shape.Count).CopyTo(new Span<float>(buffer.Pointer, (int)value.Shape.Count));
        return buffer;
    }

    /// <summary>Whether quick preparation counts more than quick runs.</summary>
    public bool RunsOnce => runsOnce;

    /// <summary>The processes that run the graph together.</summary>
    /// <exception cref="GraphException">They are not as many as the graph was made for.</exception>
    public ICommunicator Ranks(Node node, int expected) => ranks?.Size == expected
        ? ranks
        : throw new GraphException($"{node.Name}: the graph was made for {expected} processes, the device knows of {ranks?.Size ?? 1}");

    /// <summary>Memory that the launches use in turn.</summary>
    public Workspace Workspace { get; } = new();
}

/// <summary>A graph prepared for the CPU: an arena, repacked constants, and launches with fixed arguments.</summary>
internal sealed unsafe class CpuExecutable : IExecutable
{
    private readonly WorkerPool pool;
    private readonly Graph graph;
    private readonly MemoryPlan plan;
    private readonly NativeBuffer arena;
    private readonly List<NativeBuffer> owned = [];
    private readonly List<(Node Node, CpuLaunch Launch)> launches = [];
    private readonly CpuContext context;
    private readonly NativeBuffer[] swapped;
    private readonly IReadOnlySet<Node>? watched;
    private bool disposed;

    public CpuExecutable(CpuDevice device, Graph source, CompileOptions options)
    {
        pool = device.Pool;
        (graph, watched) = Pipeline.Apply(source, options, device, new DeviceTraits());
        plan = MemoryPlan.Of(graph, options.ReuseMemory);
        arena = new NativeBuffer(plan.ArenaBytes, "the values of a step", hugePages: !options.RunsOnce);
        owned.Add(arena);
        context = new CpuContext(plan, arena, owned, options.RunsOnce, device.Ranks);
        swapped = [.. plan.Swaps.Select(swap => context.Allocate(swap.State.Shape.Count))];
        try
        {
            foreach (Value state in graph.Inputs.Values.Where(v => v.Kind == ValueKind.State && v.Constant is not null))
                state.Constant!(Span(state));
            foreach (Node node in graph.Nodes)
            {
                if (node.Operator is View) continue;
                CpuLaunch launch = device.Prepare(node, context);
                pool.ReserveScratch(launch.ScratchBytes);
                launches.Add((node, launch));
            }
            context.Workspace.Bind(context.Allocate(context.Workspace.Floats));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public long MemoryBytes => owned.Sum(b => b.ByteCount) + pool.ScratchBytes;

    public void Write(string name, ReadOnlySpan<float> data) => data.CopyTo(Span(graph.Writable(name, data.Length, DType.F32)));

    public void Write(string name, ReadOnlySpan<int> data) =>
        MemoryMarshal.Cast<int, float>(data).CopyTo(Span(graph.Writable(name, data.Length, DType.I32)));

    public void Read(string name, Span<float> destination) =>
        Span(graph.Readable(name, destination.Length)).CopyTo(destination);

    public void WritePart(string name, long first, ReadOnlySpan<float> data) =>
        data.CopyTo(Span(graph.WritablePart(name, first, data.Length))[(int)first..]);

    public void ReadPart(string name, long first, Span<float> destination) =>
        Span(graph.ReadablePart(name, first, destination.Length)).Slice((int)first, destination.Length).CopyTo(destination);

    public void Run(CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        foreach ((Node node, CpuLaunch launch) in launches)
        {
            cancellation.ThrowIfCancellationRequested();
            pool.Run(launch);
            if (watched?.Contains(node) == true) NonFiniteException.Require(node, Span(node.Output));
        }
        Update();
    }

    /// <summary>Nothing to wait for: <see cref="Run"/> returns when the work is done.</summary>
    public void Synchronize() => ObjectDisposedException.ThrowIf(disposed, this);

    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        var times = new List<KernelTime>(launches.Count);
        foreach ((Node node, CpuLaunch launch) in launches)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            pool.Run(launch);
            times.Add(new KernelTime(node.Name, launch.Description, Stopwatch.GetElapsedTime(start).TotalSeconds, node.Cost));
        }
        Update();
        return times;
    }

    public void Dispose()
    {
        disposed = true;
        foreach (NativeBuffer buffer in owned) buffer.Dispose();
        owned.Clear();
    }

    private void Update()
    {
        for (int i = 0; i < swapped.Length; i++) Span(plan.Swaps[i].Next).CopyTo(Floats(swapped[i]));
        // Not foreach: the enumerator of an interface is an allocation in every run.
        for (int i = 0; i < plan.Copies.Count; i++) Span(plan.Copies[i].Next).CopyTo(Span(plan.Copies[i].State));
        for (int i = 0; i < swapped.Length; i++) Floats(swapped[i]).CopyTo(Span(plan.Swaps[i].State));
    }

    private static Span<float> Floats(NativeBuffer buffer) => new(buffer.Pointer, (int)(buffer.ByteCount / sizeof(float)));

    private Span<float> Span(Value value) => new(context.Pointer(value), checked((int)value.Shape.Count));
}
