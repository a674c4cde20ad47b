using System.Diagnostics;
using RawDiffusion.Engine;

namespace RawDiffusion.Mpi;

/// <summary>
/// The processes that mpirun or srun started. One thread makes all calls of MPI, which then needs no support of threads, and makes
/// sums go on beside the computation: MPI moves data only while it is called.
/// </summary>
public sealed unsafe class MpiCommunicator : ICommunicator
{
    // A call of MPI_Test takes under a microsecond where nothing has come. Right after the start, what is small is worth
    // waiting for; later the processor is left to the computation, but for so many calls in a millisecond.
    private const int Burst = 32;
    private static readonly TimeSpan Patience = TimeSpan.FromMicroseconds(300);
    private static readonly TimeSpan AbortPatience = TimeSpan.FromSeconds(5);

    private readonly object gate = new();
    private readonly Queue<Call> calls = new();
    private readonly MpiLibrary library = MpiLibrary.Current;
    private readonly Thread thread;
    private readonly TimeSpan silence;
    private Pulse? pulse;
    private Call? current;
    private Exception? failure;
    private volatile bool aborting;
    private int abortCode;
    private bool disposed;

    private MpiCommunicator(MpiLaunch launch, TimeSpan silence)
    {
        (Launcher, LocalRank, this.silence) = (launch.Launcher, launch.LocalRank, silence);
        thread = new Thread(Work) { IsBackground = true, Name = "rawdiffusion mpi" };
        thread.Start();
        Finish(Add(new Call(CallKind.Initialize, 0, 0, 0, 0)));
        if (Size != launch.Size || Rank != launch.Rank)
        {
            throw new IOException($"expected to be process {launch.Rank} of {launch.Size}, as {launch.Launcher} says, found process {Rank} "
                + $"of {Size} "
                + $"in {library.Kind} ({library.FoundAt}): it belongs to another launcher; start the processes with its own mpirun, or "
                + "with srun --mpi=pmix");
        }
    }

    /// <inheritdoc/>
    public int Rank { get; private set; }

    /// <inheritdoc/>
    public int Size { get; private set; }

    /// <inheritdoc/>
    public int LocalRank { get; }

    /// <summary>Who started the processes.</summary>
    public string Launcher { get; }

    /// <summary>
    /// Told in one line, on the thread that calls MPI, of a process that this one waits for and that gives no sign of life for a minute.
    /// </summary>
    public Action<string>? Warn { get; set; }

    /// <summary>Joins the processes that a launcher started together.</summary>
    /// <exception cref="IOException">There is no MPI library, or it knows of other processes than the launcher.</exception>
    public static MpiCommunicator Join(MpiLaunch launch) => Join(launch, Pulse.Silence);

    internal static MpiCommunicator Join(MpiLaunch launch, TimeSpan silence)
    {
        if (!MpiLibrary.Current.IsFound)
            throw new IOException($"{launch.Launcher} started {launch.Size} processes, but {MpiLibrary.Current.Missing}");
        return new MpiCommunicator(launch, silence);
    }

    /// <inheritdoc/>
    public void StartAllReduce(nint data, int count) => Add(new Call(CallKind.AllReduce, data, data, count, 0));

    /// <inheritdoc/>
    public void Wait(nint data)
    {
        lock (gate)
        {
            while (failure is null && (current?.Destination == data || calls.Any(c => c.Destination == data))) Monitor.Wait(gate);
            ThrowIfFailed();
        }
    }

    /// <inheritdoc/>
    public void AllGather(nint source, nint destination, int count) =>
        Finish(Add(new Call(CallKind.AllGather, source, destination, count, 0)));

    /// <inheritdoc/>
    public void Broadcast(Span<byte> data, int root)
    {
        fixed (byte* address = data) Finish(Add(new Call(CallKind.Broadcast, (nint)address, (nint)address, data.Length, root)));
    }

    /// <summary>Ends all processes at once, this one included; does not return.</summary>
    /// <param name="exitCode">Exit code of the job.</param>
    public void Abort(int exitCode)
    {
        lock (gate)
        {
            (abortCode, aborting) = (exitCode, true);
            Monitor.PulseAll(gate);
        }
        thread.Join(AbortPatience);
        Environment.Exit(exitCode);
    }

    /// <summary>Leaves together with all other processes: waits for them.</summary>
    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        Finish(Add(new Call(CallKind.Finalize, 0, 0, 0, 0)));
        thread.Join();
    }

    private Call Add(Call call)
    {
        lock (gate)
        {
            ThrowIfFailed();
            calls.Enqueue(call);
            Monitor.PulseAll(gate);
        }
        return call;
    }

    private void Finish(Call call)
    {
        lock (gate)
        {
            while (failure is null && !call.IsDone) Monitor.Wait(gate);
            ThrowIfFailed();
        }
    }

    private void ThrowIfFailed()
    {
        if (failure is { } cause) throw new IOException($"MPI failed: {cause.Message}", cause);
    }

    private void Work()
    {
        try
        {
            while (true)
            {
                lock (gate)
                {
                    if (calls.Count == 0 && !aborting) Monitor.Wait(gate, pulse?.Interval ?? Timeout.InfiniteTimeSpan);
                    current = aborting || calls.Count == 0 ? null : calls.Dequeue();
                }
                if (aborting) MpiApi.MPI_Abort(library.World, abortCode);
                pulse?.Beat(Warn ?? (_ => { }), waits: false);
                if (current is not { } call) continue;
                Make(call);
                lock (gate)
                {
                    call.IsDone = true;
                    current = null;
                    Monitor.PulseAll(gate);
                }
                if (call.Kind == CallKind.Finalize) return;
            }
        }
        catch (Exception e)
        {
            lock (gate)
            {
                failure = e;
                Monitor.PulseAll(gate);
            }
        }
    }

    private void Make(Call call)
    {
        nint request = 0;
        switch (call.Kind)
        {
            case CallKind.Initialize:
                int provided, rank, size;
                Check(MpiApi.MPI_Init_thread(0, 0, MpiApi.ThreadFunneled, &provided), "MPI_Init_thread");
                Check(MpiApi.MPI_Comm_rank(library.World, &rank), "MPI_Comm_rank");
                Check(MpiApi.MPI_Comm_size(library.World, &size), "MPI_Comm_size");
                (Rank, Size) = (rank, size);
                pulse = new Pulse(rank, size, silence);
                return;
            case CallKind.AllReduce:
                Check(MpiApi.MPI_Iallreduce(library.InPlace, call.Destination, call.Count, library.Float, library.Sum, library.World,
                    &request), "MPI_Iallreduce");
                break;
            case CallKind.AllGather:
                Check(MpiApi.MPI_Iallgather(call.Source, call.Count, library.Float, call.Destination, call.Count, library.Float,
                    library.World, &request), "MPI_Iallgather");
                break;
            case CallKind.Broadcast:
                Check(MpiApi.MPI_Ibcast(call.Destination, call.Count, library.Byte, call.Root, library.World, &request), "MPI_Ibcast");
                break;
            case CallKind.Finalize:
                pulse!.Drain();
                Check(MpiApi.MPI_Finalize(), "MPI_Finalize");
                return;
            default:
                throw new InvalidOperationException($"there is no call {call.Kind}");
        }
        long start = Stopwatch.GetTimestamp();
        for (int tests = 1; ; tests++)
        {
            int done;
            Check(MpiApi.MPI_Test(&request, &done, library.StatusIgnore), "MPI_Test");
            if (done != 0) return;
            if (aborting) MpiApi.MPI_Abort(library.World, abortCode);
            pulse!.Beat(Warn ?? (_ => { }), waits: true);
            if (Stopwatch.GetElapsedTime(start) < Patience) Thread.Yield();
            else if (tests % Burst == 0) Thread.Sleep(1);
        }
    }

    private static void Check(int error, string function)
    {
        if (error != 0) throw new IOException($"{function} returned error {error}");
    }

    private enum CallKind
    {
        Initialize,
        AllReduce,
        AllGather,
        Broadcast,
        Finalize,
    }

    private sealed record Call(CallKind Kind, nint Source, nint Destination, int Count, int Root)
    {
        public bool IsDone { get; set; }
    }
}
