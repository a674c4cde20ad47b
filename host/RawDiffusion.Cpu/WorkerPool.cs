using System.Runtime.ExceptionServices;

namespace RawDiffusion.Cpu;

/// <summary>
/// Persistent threads that share the tasks of one launch at a time. A launch's split into tasks never depends on the
/// number of threads, and tasks write disjoint memory, so results do not depend on it either; which thread takes a task
/// is decided as it runs, which keeps a disturbed core from holding up the others.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    // Launches follow each other within microseconds; a worker that sleeps needs some 50 to wake up.
    private const int SpinsBeforeSleep = 4000;

    private readonly Thread[] workers;
    private readonly Lock running = new();
    private readonly object gate = new();
    private NativeBuffer?[] scratch;
    private CpuLaunch? launch;
    private int phase;
    private int tasks;
    private int next;
    private int busy;
    private volatile int generation;
    private volatile bool stopping;
    private int sleeping;
    private ExceptionDispatchInfo? failure;

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
            scratch = [.. scratch.Select(_ => new NativeBuffer(bytes))];
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
                launch = work;
                phase = p;
                tasks = work.Tasks(p);
                if (tasks == 0) continue;
                next = 0;
                bool shared = tasks > 1 && workers.Length > 0;
                if (shared) Wake();
                TakeTasks(0);
                if (shared) WaitForWorkers();
                if (Interlocked.Exchange(ref failure, null) is { } failed) failed.Throw();
            }
        }
    }

    public void Dispose()
    {
        lock (running)
        {
            if (stopping) return;
            stopping = true;
            Wake();
            foreach (Thread worker in workers) worker.Join();
            foreach (NativeBuffer? buffer in scratch) buffer?.Dispose();
        }
    }

    private void Wake()
    {
        Volatile.Write(ref busy, workers.Length);
        Interlocked.Increment(ref generation);
        if (Volatile.Read(ref sleeping) > 0)
            lock (gate) Monitor.PulseAll(gate);
    }

    private void WaitForWorkers()
    {
        var spinner = new SpinWait();
        while (Volatile.Read(ref busy) > 0) spinner.SpinOnce(sleep1Threshold: -1);
    }

    private void TakeTasks(int thread)
    {
        try
        {
            int task;
            while ((task = Interlocked.Increment(ref next) - 1) < tasks)
                launch!.Run(phase, task, scratch[thread] is { } buffer ? buffer.Pointer : null);
        }
        catch (Exception e)
        {
            Volatile.Write(ref next, tasks);
            Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
        }
    }

    private void Work(int thread)
    {
        int seen = 0;
        while (true)
        {
            for (int spin = 0; generation == seen && spin < SpinsBeforeSleep; spin++) Thread.SpinWait(8);
            if (generation == seen)
            {
                lock (gate)
                {
                    Interlocked.Increment(ref sleeping);
                    while (generation == seen) Monitor.Wait(gate);
                    Interlocked.Decrement(ref sleeping);
                }
            }
            seen = generation;
            if (stopping) return;
            TakeTasks(thread);
            Interlocked.Decrement(ref busy);
        }
    }
}
