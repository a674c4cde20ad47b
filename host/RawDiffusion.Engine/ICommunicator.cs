namespace RawDiffusion.Engine;

/// <summary>
/// Processes that compute together. All of them make the same calls with the same counts in the same order; sums are the same
/// bits on all of them. Calls come from one thread at a time.
/// </summary>
public interface ICommunicator : IDisposable
{
    /// <summary>Number of this process, from 0.</summary>
    int Rank { get; }

    /// <summary>Number of processes.</summary>
    int Size { get; }

    /// <summary>Number of this process among those of its machine, from 0.</summary>
    int LocalRank { get; }

    /// <summary>
    /// Starts to replace numbers by their sums over all processes, and returns. The memory is the communicator's until
    /// <see cref="Wait"/> returns.
    /// </summary>
    /// <param name="data">Address of the first of <paramref name="count"/> float32.</param>
    /// <param name="count">Numbers.</param>
    void StartAllReduce(nint data, int count);

    /// <summary>Waits until everything is done that was started on an address.</summary>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    void Wait(nint data);

    /// <summary>Lays the numbers of all processes side by side, by rank.</summary>
    /// <param name="source">Address of <paramref name="count"/> float32.</param>
    /// <param name="destination">Address of <see cref="Size"/> times as many.</param>
    /// <param name="count">Numbers of each process.</param>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    void AllGather(nint source, nint destination, int count);

    /// <summary>Gives all processes what one of them has.</summary>
    /// <param name="data">Read in process <paramref name="root"/>, written in the others; equally long in all.</param>
    /// <param name="root">Rank of the process that has it.</param>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    void Broadcast(Span<byte> data, int root);
}

/// <summary>What processes agree on before they compute.</summary>
public static class CommunicatorExtensions
{
    /// <summary>What each process says, by rank; nobody has it before all have spoken.</summary>
    /// <param name="ranks">Processes that train together; null for one.</param>
    /// <param name="own">What this one says; equally long in all.</param>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    public static unsafe float[][] Gather(this ICommunicator ranks, params ReadOnlySpan<float> own)
    {
        float[] all = new float[ranks.Size * own.Length];
        fixed (float* source = own, destination = all) ranks.AllGather((nint)source, (nint)destination, own.Length);
        return [.. all.Chunk(own.Length)];
    }
}
