using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace RawDiffusion.Cpu;

/// <summary>
/// Persistent threads that share the tasks of one launch at a time. A launch's split into tasks never depends on the
/// number of threads, and tasks write disjoint memory, so results do not depend on it either; which thread takes a task
/// is decided as it runs.
/// </summary>
/// <remarks>
/// A launch is done when its tasks are, not when every worker has noticed it: on a machine that is busy with other
/// things a worker that never got a core holds nobody up. For that a claim of a task names the launch it is for: one
/// 64-bit ticket holds the launch's number and the next task, and is closed while the launch's fields change.
/// </remarks>
internal sealed unsafe class WorkerPool : IDisposable
{
    // Launches follow each other within microseconds, and waking a sleeping worker takes a system call; but a worker that
    // spins long takes a core from others.
    private static readonly long SpinTicks = Stopwatch.Frequency / 10_000;

    private readonly Thread[] workers;
    private readonly Lock running = new();
    private readonly object gate = new();
    private NativeBuffer?[] scratch;
    private CpuLaunch? launch;
    private int phase;
    private int tasks;
    private int number;
    private long ticket = Ticket(0, int.MaxValue);
    private int completed;
    private int sleeping;
    private volatile bool stopping;
    private volatile ExceptionDispatchInfo? failure;

    public WorkerPool(int threads)
    {
        Threads = threads;
        scratch = new NativeBuffer?[threads];
        workers = new Thread[threads - 1];
        for (int i = 0; i < workers.Length; i++)
        {
            int index = i + 1;
            workers[i] = new Thread(() => Work(index)) { IsBackground = true, Name = $"rawdiffusion cpu {index}" };
            workers[i].Start();
        }
    }

    public int Threads { get; }

    public long ScratchBytes => scratch.Sum(s => s?.ByteCount ?? 0);

    /// <summary>Gives each thread at least so much scratch memory, once no launch uses what it has.</summary>
    public void ReserveScratch(long bytes)
    {
        lock (running)
        {
            if (bytes <= (scratch[0]?.ByteCount ?? 0)) return;
            foreach (NativeBuffer? old in scratch) old?.Dispose();
            scratch = [.. scratch.Select(_ => new NativeBuffer(bytes, "a thread's scratch space"))];
        }
    }

    /// <summary>Runs all phases of a launch; returns when the last task is done.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed: there is nobody left to do the work.</exception>
    public void Run(CpuLaunch work)
    {
        lock (running)
        {
            ObjectDisposedException.ThrowIf(stopping, typeof(CpuDevice));
            for (int p = 0; p < work.Phases; p++)
            {
                int count = work.Tasks(p);
                if (count == 0) continue;
                // Closed first: a late worker that still holds the last launch's number can claim nothing from here on.
                Interlocked.Exchange(ref ticket, Ticket(number, int.MaxValue));
                (launch, phase, tasks, completed) = (work, p, count, 0);
                Interlocked.Exchange(ref ticket, Ticket(++number, 0));
                if (count > 1 && Volatile.Read(ref sleeping) > 0) WakeWorkers();
                TakeTasks(number, 0);
                var spinner = new SpinWait();
                while (Volatile.Read(ref completed) < count) spinner.SpinOnce(sleep1Threshold: -1);
                if (failure is { } failed)
                {
                    failure = null;
                    failed.Throw();
                }
            }
        }
    }

    public void Dispose()
    {
        lock (running)
        {
            if (stopping) return;
            stopping = true;
            WakeWorkers();
            foreach (Thread worker in workers) worker.Join();
            foreach (NativeBuffer? buffer in scratch) buffer?.Dispose();
        }
    }

    private static long Ticket(int number, int task) => ((long)number << 32) | (uint)task;

    private static int Number(long ticket) => (int)(ticket >> 32);

    private void WakeWorkers()
    {
        lock (gate) Monitor.PulseAll(gate);
    }

    // A claim succeeds only while the ticket still has the launch's number, so the fields read here are that launch's.
    private void TakeTasks(int own, int thread)
    {
        CpuLaunch? work = launch;
        (int p, int count) = (phase, tasks);
        while (true)
        {
            long current = Volatile.Read(ref ticket);
            int task = (int)current;
            if (Number(current) != own || task >= count) return;
            if (Interlocked.CompareExchange(ref ticket, current + 1, current) != current) continue;
            try
            {
                if (failure is null) work!.Run(p, task, scratch[thread] is { } buffer ? buffer.Pointer : null);
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
            Interlocked.Increment(ref completed);
        }
    }

    private void Work(int thread)
    {
        int seen = 0;
        while (!stopping)
        {
            long start = Stopwatch.GetTimestamp();
            while (Number(Volatile.Read(ref ticket)) == seen && !stopping && Stopwatch.GetTimestamp() - start < SpinTicks)
                Thread.SpinWait(8);
            if (Number(Volatile.Read(ref ticket)) == seen)
            {
                lock (gate)
                {
                    Interlocked.Increment(ref sleeping);
                    while (Number(Volatile.Read(ref ticket)) == seen && !stopping) Monitor.Wait(gate);
                    Interlocked.Decrement(ref sleeping);
                }
            }
            seen = Number(Volatile.Read(ref ticket));
            TakeTasks(seen, thread);
        }
    }
}
