using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Exchange;

/// <summary>
/// Exchanges through host memory, by whatever the processes use on CPUs. Where a sum starts, the host waits until its numbers are
/// computed; the sum itself goes on beside the device's next work.
/// </summary>
/// <param name="driver">Whose memory it is.</param>
/// <param name="ranks">The processes; not owned.</param>
internal sealed class StagedRanks(ICudaDriver driver, ICommunicator ranks) : IDeviceRanks
{
    private readonly Dictionary<ulong, (Staging Staging, long Bytes)> pending = [];
    private readonly List<Staging> free = [];

    // Page-locked; copies of it were queued on a stream, and on no other may it be used again without waiting for them.
    private sealed record Staging(nint Address, long Bytes, nint Stream);

    public string Description => "through host memory";

    public int Size => ranks.Size;

    public void StartAllReduce(ulong data, int count, nint stream)
    {
        long bytes = 4L * count;
        Staging staging = Take(bytes, stream);
        pending.Add(data, (staging, bytes));
        driver.CopyToHost(staging.Address, data, bytes, stream);
        driver.Synchronize(stream);
        ranks.StartAllReduce(staging.Address, count);
    }

    public void Wait(ulong data, nint stream)
    {
        if (!pending.Remove(data, out (Staging Staging, long Bytes) sum))
            throw new InvalidOperationException($"no sum was started at 0x{data:x}");
        ranks.Wait(sum.Staging.Address);
        driver.CopyToDevice(data, sum.Staging.Address, sum.Bytes, stream);
        free.Add(sum.Staging with { Stream = stream });
    }

    public void AllGather(ulong source, ulong destination, int count, nint stream)
    {
        long bytes = 4L * count;
        Staging own = Take(bytes, stream), all = Take(bytes * Size, stream);
        driver.CopyToHost(own.Address, source, bytes, stream);
        driver.Synchronize(stream);
        ranks.AllGather(own.Address, all.Address, count);
        driver.CopyToDevice(destination, all.Address, bytes * Size, stream);
        free.AddRange([own, all]);
    }

    public void Dispose()
    {
        // Of a sum that nobody waits for any more, the memory is still the communicator's.
        foreach (Staging staging in free) driver.FreeHost(staging.Address);
        free.Clear();
    }

    // The smallest that is large enough: a step asks for the same each time.
    private Staging Take(long bytes, nint stream)
    {
        if (free.Where(s => s.Bytes >= bytes && s.Stream == stream).MinBy(s => s.Bytes) is not { } staging)
            return new Staging(driver.AllocateHost(bytes), bytes, stream);
        free.Remove(staging);
        return staging;
    }
}
