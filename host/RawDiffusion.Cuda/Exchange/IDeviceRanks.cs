using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Exchange;

/// <summary>
/// Processes that compute together, each with its GPU: an <see cref="ICommunicator"/> of device memory. Every call counts from
/// where a stream is: it sees what was queued there before, and what is queued there later sees what it did.
/// </summary>
internal interface IDeviceRanks : IDisposable
{
    /// <summary>How they exchange, for people.</summary>
    string Description { get; }

    /// <summary>Number of processes.</summary>
    int Size { get; }

    /// <summary>
    /// Starts to replace numbers by their sums over all processes. The memory must not be touched until <see cref="Wait"/>;
    /// other work of the stream goes on beside the sum.
    /// </summary>
    /// <param name="data">The first of <paramref name="count"/> float32.</param>
    /// <param name="count">Numbers, at least 1.</param>
    /// <param name="stream">Where the numbers are computed.</param>
    void StartAllReduce(ulong data, int count, nint stream);

    /// <summary>Lets the stream's later work wait for the sum that was started on an address.</summary>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    /// <exception cref="Driver.CudaException">NCCL says so.</exception>
    void Wait(ulong data, nint stream);

    /// <summary>Lays the numbers of all processes side by side, by rank, before the stream's later work.</summary>
    /// <param name="source"><paramref name="count"/> float32.</param>
    /// <param name="destination"><see cref="Size"/> times as many.</param>
    /// <param name="count">Numbers of each process, at least 1.</param>
    /// <param name="stream">Where the numbers are computed and read.</param>
    void AllGather(ulong source, ulong destination, int count, nint stream);
}
