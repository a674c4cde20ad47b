using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Tests.Exchange;

/// <summary>
/// A driver whose streams do their work as late as they may: when the host waits for them, or when one that it waits for comes to an
/// event of another. Streams in <see cref="Eager"/> do it as early as they may. Who relies on an order that no event states gets
/// wrong results with one of the two.
/// </summary>
internal sealed class LateStreams(ICudaDriver inner) : ICudaDriver
{
    private readonly Dictionary<nint, Queue<Work>> queues = new() { [0] = new() };
    private readonly Dictionary<nint, (int Recorded, int Happened)> events = [];
    private readonly Dictionary<(nint Event, int Record), nint> recordedOn = [];

    private sealed record Work(Action Do, (nint Event, int Record)? Waits = null);

    public HashSet<nint> Eager { get; } = [];

    /// <summary>Streams that are there, in the order in which they were made.</summary>
    public List<nint> Streams { get; } = [];

    /// <summary>What was done, in order: "graph", and what others say.</summary>
    public List<string> Log { get; } = [];

    public ICudaDriver Inner => inner;

    public CudaDeviceInfo Device => inner.Device;

    public string Target => inner.Target;

    public void Queue(nint stream, Action work) => Add(stream, new Work(work));

    public ulong Allocate(long bytes) => inner.Allocate(bytes);

    public void Fence(ulong address, long bytes) => inner.Fence(address, bytes);

    public void Free(ulong address)
    {
        foreach (nint stream in queues.Keys) Synchronize(stream);
        inner.Free(address);
    }

    public nint AllocateHost(long bytes) => inner.AllocateHost(bytes);

    public void FreeHost(nint address) => inner.FreeHost(address);

    public void CopyToDevice(ulong destination, nint source, long bytes, nint stream) =>
        Queue(stream, () => inner.CopyToDevice(destination, source, bytes, stream));

    public void CopyToHost(nint destination, ulong source, long bytes, nint stream) =>
        Queue(stream, () => inner.CopyToHost(destination, source, bytes, stream));

    public void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream) =>
        Queue(stream, () => inner.CopyOnDevice(destination, source, bytes, stream));

    public void Fill(ulong destination, byte value, long bytes, nint stream) =>
        Queue(stream, () => inner.Fill(destination, value, bytes, stream));

    public nint LoadModule(ReadOnlySpan<byte> image) => inner.LoadModule(image);

    public void UnloadModule(nint module) => inner.UnloadModule(module);

    public nint GetFunction(nint module, string name) => inner.GetFunction(module, name);

    public void AllowDynamicSharedMemory(nint function, int bytes) => inner.AllowDynamicSharedMemory(function, bytes);

    public void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream)
    {
        (LaunchGeometry shape, byte[] values) = (geometry, arguments.ToArray());
        Queue(stream, () => inner.Launch(function, shape, values, stream));
    }

    public nint CreateStream()
    {
        nint stream = inner.CreateStream();
        queues.Add(stream, new());
        Streams.Add(stream);
        return stream;
    }

    public void DestroyStream(nint stream)
    {
        Synchronize(stream);
        queues.Remove(stream);
        Streams.Remove(stream);
        inner.DestroyStream(stream);
    }

    public void Synchronize(nint stream)
    {
        while (queues[stream].Count > 0) DoNext(stream);
        inner.Synchronize(stream);
    }

    public void WaitEvent(nint stream, nint happened) =>
        Add(stream, new Work(() => inner.WaitEvent(stream, happened), events[happened].Recorded == 0 ? null
        : (happened, events[happened].Recorded)));

    public nint CreateEvent()
    {
        nint happened = inner.CreateEvent();
        events.Add(happened, default);
        return happened;
    }

    public void DestroyEvent(nint happened)
    {
        events.Remove(happened);
        inner.DestroyEvent(happened);
    }

    public void RecordEvent(nint happened, nint stream)
    {
        int record = events[happened].Recorded + 1;
        events[happened] = events[happened] with { Recorded = record };
        recordedOn.Add((happened, record), stream);
        Queue(stream, () =>
        {
            events[happened] = events[happened] with { Happened = record };
            inner.RecordEvent(happened, stream);
        });
    }

    public double Elapsed(nint start, nint end) => inner.Elapsed(start, end);

    public nint CreateGraph() => inner.CreateGraph();

    public void DestroyGraph(nint graph) => inner.DestroyGraph(graph);

    public nint AddKernelNode(
        nint graph, ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments) =>
        inner.AddKernelNode(graph, dependencies, function, geometry, arguments);

    public nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes) =>
        inner.AddCopyNode(graph, dependencies, destination, source, bytes);

    public nint InstantiateGraph(nint graph) => inner.InstantiateGraph(graph);

    public void DestroyExecutableGraph(nint executable) => inner.DestroyExecutableGraph(executable);

    public void LaunchGraph(nint executable, nint stream) => Queue(stream, () =>
    {
        Log.Add("graph");
        inner.LaunchGraph(executable, stream);
    });

    public void Dispose() => inner.Dispose();

    private void Add(nint stream, Work work)
    {
        queues[stream].Enqueue(work);
        DoEager();
    }

    private void DoEager()
    {
        foreach (nint stream in Eager)
        {
            while (queues.GetValueOrDefault(stream) is { Count: > 0 } queue && (queue.Peek().Waits is not { } wait || Happened(wait)))
                queue.Dequeue().Do();
        }
    }

    private void DoNext(nint stream)
    {
        Work work = queues[stream].Peek();
        while (work.Waits is { } wait && !Happened(wait)) DoNext(recordedOn[wait]);
        queues[stream].Dequeue();
        work.Do();
        DoEager();
    }

    private bool Happened((nint Event, int Record) wait) => events[wait.Event].Happened >= wait.Record;
}
