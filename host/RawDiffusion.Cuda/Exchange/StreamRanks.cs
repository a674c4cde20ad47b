using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Exchange;

/// <summary>Exchanges that the device does itself when a stream comes to them, as NCCL's.</summary>
internal interface IStreamExchange : IDisposable
{
    /// <summary>How they exchange, for people.</summary>
    string Description { get; }

    /// <summary>Number of processes.</summary>
    int Size { get; }

    /// <summary>Queues a sum over all processes, in place.</summary>
    void AllReduce(ulong data, int count, nint stream);

    /// <summary>Queues a gathering from all processes.</summary>
    void AllGather(ulong source, ulong destination, int count, nint stream);

    /// <summary>Throws if something that was queued has failed since.</summary>
    void ThrowIfFailed();
}

/// <summary>
/// Exchanges on a stream of their own, so that they go on beside the computation. Events order the two: an exchange waits for what
/// was queued before it, and only who needs it waits for it. All exchanges are in one order, which all processes have.
/// </summary>
/// <param name="driver">Whose streams they are.</param>
/// <param name="exchange">What the device does; owned from then on.</param>
internal sealed class StreamRanks(ICudaDriver driver, IStreamExchange exchange) : IDeviceRanks
{
    private readonly nint own = driver.CreateStream();
    private readonly nint ready = driver.CreateEvent();
    private readonly Dictionary<ulong, nint> pending = [];
    private readonly Stack<nint> free = [];
    private bool disposed;

    public string Description => exchange.Description;

    public int Size => exchange.Size;

    public void StartAllReduce(ulong data, int count, nint stream)
    {
        nint done = free.TryPop(out nint used) ? used : driver.CreateEvent();
        pending.Add(data, done);
        Follow(stream);
        exchange.AllReduce(data, count, own);
        driver.RecordEvent(done, own);
    }

    public void Wait(ulong data, nint stream)
    {
        if (!pending.Remove(data, out nint done)) throw new InvalidOperationException($"no sum was started at 0x{data:x}");
        exchange.ThrowIfFailed();
        driver.WaitEvent(stream, done);
        free.Push(done);
    }

    public void AllGather(ulong source, ulong destination, int count, nint stream)
    {
        Follow(stream);
        exchange.AllGather(source, destination, count, own);
        driver.RecordEvent(ready, own);
        driver.WaitEvent(stream, ready);
    }

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        // First: it ends what may be going on, and what is going on uses the rest.
        exchange.Dispose();
        foreach (nint done in pending.Values.Concat(free).Append(ready)) driver.DestroyEvent(done);
        driver.DestroyStream(own);
    }

    // A wait is for the latest record of an event at that time, so that one event does for all.
    private void Follow(nint stream)
    {
        driver.RecordEvent(ready, stream);
        driver.WaitEvent(own, ready);
    }
}
