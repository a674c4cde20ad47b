using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Baselines;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda;

/// <summary>
/// A graph prepared for a GPU: one arena, packed constants, launches with fixed arguments, all of them one CUDA graph
/// (<see cref="LaunchSequence"/>). A run returns before the work is done; reading waits.
/// </summary>
internal sealed unsafe class CudaExecutable : IExecutable
{
    private readonly CudaContext cuda;
    private readonly ICudaDriver driver;
    private readonly Graph graph;
    private readonly IReadOnlySet<Node>? watched;
    private readonly MemoryPlan plan;
    private readonly DeviceMemory memory;
    private readonly LaunchContext context;
    private readonly List<(Node Node, DeviceLaunch Launch)> launches = [];
    private readonly List<(DeviceRange Destination, DeviceRange Source)> copies = [];
    private readonly nint stream;
    private readonly HostExchange? host;
    private readonly LaunchSequence? sequence;
    private bool disposed;

    /// <summary>Prepares a graph.</summary>
    /// <param name="cuda">Where it will run.</param>
    /// <param name="prepared">The graph after all passes.</param>
    /// <param name="options">How to compile it.</param>
    /// <param name="tiles">Gives each convolution's tile.</param>
    public CudaExecutable(CudaContext cuda, PreparedGraph prepared, CompileOptions options, Func<Node, ConvShape, ConvTile> tiles)
    {
        this.cuda = cuda;
        driver = cuda.Driver;
        (graph, watched) = prepared;
        var storage = new StoragePolicy(graph, cuda.Precision);
        Siblings siblings = options.Fuse ? Siblings.Of(graph) : new Siblings();
        var writers = siblings.Followers.ToDictionary(f => f.Node.Output, f => f.Leader);
        NormFusion norms = options.Fuse ? NormFusion.Of(graph, writers) : new NormFusion();
        foreach ((Node norm, Node conv) in norms.Finished) writers.Add(norm.Output, conv);
        plan = MemoryPlan.Of(graph, options.ReuseMemory, storage.ElementBytes, writers);
        memory = new DeviceMemory(driver);
        context = new LaunchContext(memory, plan, storage, norms, siblings, tiles, cuda.Precision, cuda.Specialize, cuda.Ranks);
        try
        {
            stream = driver.CreateStream();
            host = new HostExchange(driver, stream, context);
            foreach (Value state in graph.Inputs.Values) Initialize(state);
            foreach (Node node in graph.Nodes)
            {
                if (node.Operator is View || writers.ContainsKey(node.Output)) continue;
                OperatorLaunch.For(node).Prepare(node, context);
                foreach (DeviceLaunch launch in context.Take()) launches.Add((node, launch));
            }
            foreach (DeviceRange padding in context.Padding(graph)) driver.Fence(padding.Address, padding.Bytes);
            PlanUpdates();
            cuda.Load(Kernels.Select(l => l.Variant));
            sequence = new LaunchSequence(driver, [.. launches.Select(l => l.Launch)], copies, Function);
            driver.Synchronize(stream);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public long MemoryBytes => memory.Bytes;

    /// <summary>The kernels of a run, in order.</summary>
    internal IReadOnlyList<(KernelVariant Variant, LaunchGeometry Geometry)> Launches => [.. Kernels.Select(l => (l.Variant, l.Geometry))];

    private IEnumerable<KernelLaunch> Kernels => launches.Select(l => l.Launch).OfType<KernelLaunch>();

    /// <summary>For each launch what NVIDIA's libraries would be asked for; a node's products count with its main kernel.</summary>
    internal IReadOnlyList<IReadOnlyList<NvidiaCall>> NvidiaCalls =>
        [.. launches.Select((l, i) => IsLast(i) ? NvidiaCall.Of(l.Node, context.Led(l.Node), cuda.Precision) : [])];

    private HostExchange Host
    {
        get
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            return host!;
        }
    }

    public void Write(string name, ReadOnlySpan<float> data) =>
        Host.Write(graph.Writable(name, data.Length, DType.F32), MemoryMarshal.AsBytes(data));

    public void Write(string name, ReadOnlySpan<int> data) =>
        Host.Write(graph.Writable(name, data.Length, DType.I32), MemoryMarshal.AsBytes(data));

    public void Read(string name, Span<float> destination) => Host.Read(graph.Readable(name, destination.Length), destination);

    public void WritePart(string name, long first, ReadOnlySpan<float> data) =>
        Host.WritePart(graph.WritablePart(name, first, data.Length), first, data);

    public void ReadPart(string name, long first, Span<float> destination) =>
        Host.ReadPart(graph.ReadablePart(name, first, destination.Length), first, destination);

    public void Run(CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        cancellation.ThrowIfCancellationRequested();
        if (watched is null)
        {
            sequence!.Run(stream);
            return;
        }
        for (int i = 0; i < launches.Count; i++)
        {
            (Node node, DeviceLaunch launch) = launches[i];
            cancellation.ThrowIfCancellationRequested();
            Start(launch);
            if (IsLast(i) && watched.Contains(node)) Check(node);
        }
        Update();
    }

    /// <summary>
    /// Overwrites all that a run computes with NaN: what the next run leaves as it was is then seen. For graphs without state.
    /// </summary>
    internal void Spoil()
    {
        foreach (Node node in graph.Nodes.Where(n => n.Operator is not View))
        {
            DeviceRange range = context.Memory(node.Output);
            if (range.Bytes > 0) driver.Fill(range.Address, 0xff, range.Bytes, stream);
        }
    }

    public void Synchronize()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        driver.Synchronize(stream);
    }

    public IReadOnlyList<KernelTime> Profile(CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        nint[] marks = new nint[launches.Count + 1];
        try
        {
            for (int i = 0; i < marks.Length; i++) marks[i] = driver.CreateEvent();
            driver.RecordEvent(marks[0], stream);
            for (int i = 0; i < launches.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                Start(launches[i].Launch);
                driver.RecordEvent(marks[i + 1], stream);
            }
            Update();
            driver.Synchronize(stream);
            var times = new List<KernelTime>(launches.Count);
            for (int i = 0; i < launches.Count; i++)
            {
                (Node node, DeviceLaunch launch) = launches[i];
                // The arithmetic of a node counts once, with its main kernel: the last.
                times.Add(new KernelTime(node.Name, launch.Name, driver.Elapsed(marks[i], marks[i + 1]), IsLast(i)
                    ? CostOf(node) : default));
            }
            return times;
        }
        finally
        {
            foreach (nint mark in marks)
                if (mark != 0) driver.DestroyEvent(mark);
        }
    }

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        if (stream != 0) driver.Synchronize(stream);
        sequence?.Dispose();
        host?.Dispose();
        memory.Dispose();
        if (stream != 0) driver.DestroyStream(stream);
    }

    // Whether a launch is the last of its node.
    private bool IsLast(int launch) => launch + 1 == launches.Count || launches[launch + 1].Node != launches[launch].Node;

    // Compulsory traffic at the width of each value's storage, for a node and those that its launch leads: what they all
    // read counts once.
    private Cost CostOf(Node node)
    {
        var total = new Cost();
        foreach (Node led in context.Led(node))
        {
            double bytes = led.Cost.Bytes;
            foreach (Value? value in led.Inputs.Append(led.Output))
                if (value is not null) bytes -= (4 - StoredBytes(led, value)) * (double)value.Shape.Count;
            if (led != node) bytes -= StoredBytes(led, Siblings.Shared(led)) * (double)Siblings.Shared(led).Shape.Count;
            total += led.Cost with { Bytes = bytes };
        }
        return total;
    }

    // Weights of convolutions are packed as operands.
    private int StoredBytes(Node node, Value value) =>
        node.Operator is Conv2d && value.Shape.Rank == 4 && value.IsConstant
        && cuda.Precision is Precision.Bf16 or Precision.Fp16
            ? 2 : StoragePolicy.ElementBytes(context.StorageOf(value));

    private void Initialize(Value value)
    {
        DeviceRange range = context.Memory(value);
        if (value.Kind != ValueKind.State || range.Bytes == 0) return;
        if (value.Constant is null)
        {
            driver.Fill(range.Address, 0, range.Bytes, stream);
            return;
        }
        float[] data = new float[value.Shape.Count];
        value.Constant(data);
        Host.Write(value, MemoryMarshal.AsBytes(data.AsSpan()));
    }

    // What MemoryPlan could not place: all swapped values are saved before the first state is written.
    private void PlanUpdates()
    {
        DeviceRange[] saved = [.. plan.Swaps.Select(s => memory.Allocate(4 * s.State.Shape.Count))];
        for (int i = 0; i < saved.Length; i++) copies.Add((saved[i], context.Memory(plan.Swaps[i].Next)));
        foreach ((Value state, Value next) in plan.Copies) copies.Add((context.Memory(state), context.Memory(next)));
        for (int i = 0; i < saved.Length; i++) copies.Add((context.Memory(plan.Swaps[i].State), saved[i]));
        copies.RemoveAll(c => c.Destination.Bytes == 0);
    }

    private nint Function(KernelLaunch launch) => cuda.Function(launch.Variant, launch.Geometry.SharedBytes);

    private void Start(DeviceLaunch launch)
    {
        if (launch is KernelLaunch kernel) driver.Launch(Function(kernel), kernel.Geometry, kernel.Arguments, stream);
        else if (launch is ExchangeLaunch exchange) exchange.Run(stream);
    }

    private void Update()
    {
        foreach ((DeviceRange destination, DeviceRange source) in copies)
            driver.CopyOnDevice(destination.Address, source.Address, source.Bytes, stream);
    }

    private void Check(Node node)
    {
        float[] values = new float[node.Output.Shape.Count];
        Host.Read(node.Output, values);
        NonFiniteException.Require(node, values);
    }
}
