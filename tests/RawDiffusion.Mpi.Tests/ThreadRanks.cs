using RawDiffusion.Engine;

namespace RawDiffusion.Mpi.Tests;

/// <summary>
/// Processes that are threads. From start to wait, memory holds NaN: who reads a sum that is not there yet shows it, who writes
/// into it is found out.
/// </summary>
internal sealed unsafe class ThreadRanks : ICommunicator
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly Meeting meeting;
    private readonly List<(nint Address, float[] Values)> pending = [];

    private ThreadRanks(Meeting meeting, int rank) => (this.meeting, Rank) = (meeting, rank);

    public int Rank { get; }

    public int Size => meeting.Offers.Length;

    public int LocalRank => Rank;

    /// <summary>Runs the same in so many threads, each with its communicator.</summary>
    public static T[] Run<T>(int size, Func<ICommunicator, T> work)
    {
        using var meeting = new Meeting(size);
        Task<T>[] tasks = [.. Enumerable.Range(0, size)
            .Select(rank => Task.Factory.StartNew(() => work(new ThreadRanks(meeting, rank)), TaskCreationOptions.LongRunning))];
        Task.WaitAll(tasks);
        return [.. tasks.Select(t => t.Result)];
    }

    public void StartAllReduce(nint data, int count)
    {
        var span = new Span<float>((float*)data, count);
        pending.Add((data, span.ToArray()));
        span.Fill(float.NaN);
    }

    public void Wait(nint data)
    {
        while (pending.Any(p => p.Address == data))
        {
            (nint address, float[] values) = pending[0];
            pending.RemoveAt(0);
            var span = new Span<float>((float*)address, values.Length);
            foreach (float x in span)
                if (!float.IsNaN(x)) throw new InvalidOperationException($"somebody wrote {x} into memory of a sum on its way");
            float[][] all = Exchange(values);
            for (int i = 0; i < span.Length; i++)
            {
                float sum = all[0][i];
                for (int rank = 1; rank < Size; rank++) sum += all[rank][i];
                span[i] = sum;
            }
        }
    }

    public void AllGather(nint source, nint destination, int count)
    {
        float[][] all = Exchange(new Span<float>((float*)source, count).ToArray());
        for (int rank = 0; rank < Size; rank++) all[rank].CopyTo(new Span<float>((float*)destination + rank * count, count));
    }

    public void Broadcast(Span<byte> data, int root)
    {
        float[] sent = Exchange([.. data.ToArray().Select(b => (float)b)])[root];
        for (int i = 0; i < data.Length; i++) data[i] = (byte)sent[i];
    }

    public void Dispose()
    {
    }

    // All are there before anybody reads, and have read before anybody offers the next.
    private float[][] Exchange(float[] own)
    {
        meeting.Offers[Rank] = own;
        Meet();
        float[][] all = [.. meeting.Offers];
        Meet();
        if (all.Any(a => a.Length != own.Length)) throw new InvalidOperationException("the threads are not at the same sum");
        return all;
    }

    private void Meet()
    {
        if (!meeting.SignalAndWait(Patience)) throw new TimeoutException("another thread does not come");
    }

    private sealed class Meeting(int size) : Barrier(size)
    {
        public float[][] Offers { get; } = new float[size][];
    }
}
