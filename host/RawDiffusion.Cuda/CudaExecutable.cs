using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Cuda.Vendor;
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
    private const int PartFloats = 1 << 20;

    private readonly CudaDevice device;
    private readonly ICudaDriver driver;
    private readonly Graph graph;
    private readonly MemoryPlan plan;
    private readonly DeviceMemory memory;
    private readonly LaunchContext context;
    private readonly StoragePolicy storage;
    private readonly List<(Node Node, DeviceLaunch Launch)> launches = [];
    private readonly List<(DeviceRange Destination, DeviceRange Source)> copies = [];
    private readonly Dictionary<Value, nint> staging = [];
    private readonly IReadOnlySet<Node>? watched;
    private readonly nint stream;
    private readonly LaunchSequence? sequence;
    private nint partStaging;
    private bool disposed;

    /// <summary>Prepares a graph.</summary>
    /// <param name="device">Where it will run.</param>
    /// <param name="source">The graph before all passes.</param>
    /// <param name="options">Which passes to run.</param>
    /// <param name="tiles">Gives each convolution's tile; the device chooses where null.</param>
    public CudaExecutable(CudaDevice device, Graph source, CompileOptions options, Func<Node, ConvShape, ConvTile>? tiles = null)
    {
        this.device = device;
        driver = device.Driver;
        graph = RemoveDead.Apply(source);
        if (options.FoldConstants) graph = FoldConstants.Apply(graph, device);
        if (options.ShareAcrossRows) graph = ShareAcrossRows.Apply(graph);
        if (options.Fuse) graph = FuseSkip.Apply(FuseDenoise.Apply(FuseOnStore.Apply(FuseOnLoad.Apply(FoldBatchNorm.Apply(graph)))));
        if (options.Guard) watched = NonFiniteException.Watched(graph);
        if (device.Precision == Precision.Fp16 && !graph.Nodes.Any(n => n.Operator is LossScale) && graph.Nodes.Any(n => n.Operator is Adam)
            && graph.Nodes.Any(n => n.Operator is MseLossGradPrediction))
        {
            throw new GraphException("training in fp16 needs a scaled loss, as gradients below 6e-8 would become zero: expected a "
            + "LossScale in the graph, found none");
        }

        if (options.Recompute) graph = Recompute.Apply(graph);
        storage = new StoragePolicy(graph, device.Precision);
        Siblings siblings = options.Fuse ? Siblings.Of(graph) : new Siblings();
        var writers = siblings.Followers.ToDictionary(f => f.Node.Output, f => f.Leader);
        NormFusion norms = options.Fuse ? NormFusion.Of(graph, writers) : new NormFusion();
        foreach ((Node norm, Node conv) in norms.Finished) writers.Add(norm.Output, conv);
        plan = MemoryPlan.Of(graph, options.ReuseMemory, storage.ElementBytes, writers);
        memory = new DeviceMemory(driver);
        context = new LaunchContext(memory, plan, storage, norms, siblings, tiles ?? device.TilesFor(source, options), device.Precision,
            device.Specialize, device.Ranks);
        try
        {
            stream = driver.CreateStream();
            foreach (Value state in graph.Inputs.Values) Initialize(state);
            foreach (Node node in graph.Nodes)
            {
                if (node.Operator is View || writers.ContainsKey(node.Output)) continue;
                OperatorLaunch.For(node).Prepare(node, context);
                foreach (DeviceLaunch launch in context.Take()) launches.Add((node, launch));
            }
            foreach (DeviceRange padding in context.Padding(graph)) driver.Fence(padding.Address, padding.Bytes);
            PlanUpdates();
            device.Load(Kernels.Select(l => l.Variant));
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
    internal IReadOnlyList<IReadOnlyList<VendorCall>> VendorCalls =>
        [.. launches.Select((l, i) => IsLast(i) ? VendorCall.Of(l.Node, context.Led(l.Node), device.Precision) : [])];

    public void Write(string name, ReadOnlySpan<float> data) =>
        Write(Named(name, data.Length, DType.F32, graph.Inputs), MemoryMarshal.AsBytes(data));

    public void Write(string name, ReadOnlySpan<int> data) =>
        Write(Named(name, data.Length, DType.I32, graph.Inputs), MemoryMarshal.AsBytes(data));

    public void Read(string name, Span<float> destination)
    {
        Value value = Named(name, destination.Length, DType.F32, graph.Outputs.ContainsKey(name) ? graph.Outputs : graph.Inputs);
        Read(value, destination);
    }

    public void WritePart(string name, long first, ReadOnlySpan<float> data)
    {
        Value value = Part(name, first, data.Length, graph.Inputs);
        for (int done = 0; done < data.Length; done += PartFloats)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(data.Slice(done, Math.Min(PartFloats, data.Length - done)));
            nint buffer = PartStaging();
            bytes.CopyTo(new Span<byte>((void*)buffer, bytes.Length));
            driver.CopyToDevice(context.Memory(value).Slice(4 * (first + done), bytes.Length).Address, buffer, bytes.Length, stream);
        }
    }

    public void ReadPart(string name, long first, Span<float> destination)
    {
        Value value = Part(name, first, destination.Length, graph.Outputs.ContainsKey(name) ? graph.Outputs : graph.Inputs);
        for (int done = 0; done < destination.Length; done += PartFloats)
        {
            Span<float> part = destination.Slice(done, Math.Min(PartFloats, destination.Length - done));
            nint buffer = PartStaging();
            driver.CopyToHost(buffer, context.Memory(value).Slice(4 * (first + done), 4L * part.Length).Address, 4L * part.Length, stream);
            driver.Synchronize(stream);
            new ReadOnlySpan<float>((void*)buffer, part.Length).CopyTo(part);
        }
    }

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
        foreach (nint buffer in staging.Values) driver.FreeHost(buffer);
        if (partStaging != 0) driver.FreeHost(partStaging);
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
            if (led != node) bytes -= StoredBytes(led, led.Input(0)) * (double)led.Input(0).Shape.Count;
            total += led.Cost with { Bytes = bytes };
        }
        return total;
    }

    // Weights of convolutions are packed as operands.
    private int StoredBytes(Node node, Value value) =>
        node.Operator is Conv2d && value.Shape.Rank == 4 && LaunchContext.IsConstant(value)
        && device.Precision is Precision.Bf16 or Precision.Fp16
            ? 2 : storage.ElementBytes(value);

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
        Write(value, MemoryMarshal.AsBytes(data.AsSpan()));
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

    private nint Function(KernelLaunch launch) => device.Function(launch.Variant, launch.Geometry.SharedBytes);

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
        Read(node.Output, values);
        NonFiniteException.Require(node, values);
    }

    private void Write(Value value, ReadOnlySpan<byte> data)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (data.Length == 0) return;
        nint buffer = Staging(value);
        data.CopyTo(new Span<byte>((void*)buffer, data.Length));
        driver.CopyToDevice(context.Memory(value).Address, buffer, data.Length, stream);
    }

    private void Read(Value value, Span<float> destination)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        DeviceRange range = context.Memory(value);
        if (range.Bytes == 0) return;
        nint buffer = Staging(value);
        driver.CopyToHost(buffer, range.Address, range.Bytes, stream);
        driver.Synchronize(stream);
        Storage format = storage.Of(value);
        if (format is Storage.F32)
        {
            new ReadOnlySpan<float>((void*)buffer, destination.Length).CopyTo(destination);
        }
        else if (format is Storage.F16)
        {
            Widen(new ReadOnlySpan<ushort>((void*)buffer, destination.Length), destination, h => (float)BitConverter.UInt16BitsToHalf(h));
        }
        else
        {
            Widen(new ReadOnlySpan<ushort>((void*)buffer, destination.Length), destination,
                b => BitConverter.UInt32BitsToSingle((uint)b << 16));
        }
    }

    private static void Widen(ReadOnlySpan<ushort> source, Span<float> destination, Func<ushort, float> widen)
    {
        for (int i = 0; i < source.Length; i++) destination[i] = widen(source[i]);
    }

    // Page-locked, one for each value that is exchanged; whoever writes it waits until the last copy has left it.
    private nint Staging(Value value)
    {
        if (!staging.TryGetValue(value, out nint buffer)) staging.Add(value, buffer = driver.AllocateHost(4 * value.Shape.Count));
        driver.Synchronize(stream);
        return buffer;
    }

    // Page-locked, for values that are too large to be staged whole.
    private nint PartStaging()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (partStaging == 0) partStaging = driver.AllocateHost(4L * PartFloats);
        driver.Synchronize(stream);
        return partStaging;
    }

    private Value Part(string name, long first, int count, IReadOnlyDictionary<string, Value> values)
    {
        if (!values.TryGetValue(name, out Value? value))
            throw new GraphException($"there is no '{name}' here; there are: {string.Join(", ", values.Keys)}");
        if (value.DType != DType.F32 || storage.Of(value) != Storage.F32 || first < 0 || first > value.Shape.Count - count)
            throw new GraphException($"{value} of {value.DType} has no {count} elements of {DType.F32} from {first} on");
        return value;
    }

    private static Value Named(string name, int count, DType dtype, IReadOnlyDictionary<string, Value> values)
    {
        if (!values.TryGetValue(name, out Value? value))
            throw new GraphException($"there is no '{name}' here; there are: {string.Join(", ", values.Keys)}");
        if (value.Shape.Count != count || value.DType != dtype)
            throw new GraphException($"{value} of {value.DType} cannot exchange {count} elements of {dtype}");
        return value;
    }
}
