using System.Diagnostics;

namespace RawDiffusion.Mpi;

/// <summary>
/// Signs of life, empty messages: each process sends them to the first, and the first to all. A process that waits for the others
/// can so tell one that is stopped from one that has much to do. All calls are made by the thread that calls MPI.
/// </summary>
internal sealed unsafe class Pulse
{
    /// <summary>So long nothing is heard from a process that is told of.</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromSeconds(60);

    private const int Tag = 1, PerSilence = 6;

    private readonly MpiLibrary library = MpiLibrary.Current;
    private readonly TimeSpan silence;
    private readonly int size;
    private readonly int[] others;
    private readonly long[] heard;
    private readonly bool[] isSilent;
    private long beaten;

    public Pulse(int rank, int size, TimeSpan silence)
    {
        (this.size, this.silence) = (size, silence);
        others = rank > 0 ? [0] : [.. Enumerable.Range(1, size - 1)];
        heard = new long[size];
        isSilent = new bool[size];
        heard.AsSpan().Fill(Stopwatch.GetTimestamp());
    }

    /// <summary>Time between two signs of life.</summary>
    public TimeSpan Interval => silence / PerSilence;

    /// <summary>Sends and takes what is due.</summary>
    /// <param name="warn">Told of processes that have become silent, where this one waits for them, and of those that are back.</param>
    /// <param name="waits">Whether this process waits for the others.</param>
    public void Beat(Action<string> warn, bool waits)
    {
        if (Stopwatch.GetElapsedTime(beaten) < Interval) return;
        beaten = Stopwatch.GetTimestamp();
        foreach (int other in others)
        {
            Take(other, warn);
            // Messages to a stopped process would pile up.
            if (!isSilent[other]) MpiApi.MPI_Send(0, 0, library.Byte, other, Tag, library.World);
            if (!waits || isSilent[other] || Stopwatch.GetElapsedTime(heard[other]) < silence) continue;
            isSilent[other] = true;
            warn($"process {other} of {size} has given no sign of life for {silence.TotalSeconds:0} s, and the others wait for it: it is "
                + "stopped, or its machine is out of reach");
        }
    }

    /// <summary>Takes what has come, so that nothing is left when the processes part.</summary>
    public void Drain()
    {
        foreach (int other in others) Take(other, _ => { });
    }

    private void Take(int other, Action<string> warn)
    {
        int found;
        while (MpiApi.MPI_Iprobe(other, Tag, library.World, &found, library.StatusIgnore) == 0 && found != 0)
        {
            MpiApi.MPI_Recv(0, 0, library.Byte, other, Tag, library.World, library.StatusIgnore);
            heard[other] = Stopwatch.GetTimestamp();
            if (!isSilent[other]) continue;
            isSilent[other] = false;
            warn($"process {other} of {size} gives signs of life again");
        }
    }
}
