using System.Diagnostics;

namespace RawDiffusion.Cpu.Tests;

public sealed class WorkerPoolTests
{
    [Test]
    [CancelAfter(20000)]
    public void Every_task_of_every_phase_runs_once_and_phases_in_order([Values(1, 2, 3, 4)] int threads)
    {
        using var pool = new WorkerPool(threads);
        foreach (int tasks in (int[])[0, 1, 2, 3, 17, 1000])
        {
            var launch = new Counting(3, tasks);
            pool.Run(launch);
            Assert.That(launch.Counts, Has.All.EqualTo(1));
            Assert.That(launch.OutOfOrder, Is.Zero);
        }
    }

    [Test]
    [CancelAfter(20000)]
    public void Many_short_launches_neither_hang_nor_lose_tasks([Values(2, 3, 4)] int threads)
    {
        using var pool = new WorkerPool(threads);
        var launch = new Counting(1, 4);
        for (int i = 0; i < 300; i++) pool.Run(launch);
        Assert.That(launch.Counts, Has.All.EqualTo(300));
    }

    [Test]
    [CancelAfter(20000)]
    public void Sleeping_workers_wake_up_for_the_next_launch()
    {
        using var pool = new WorkerPool(3);
        var launch = new Counting(2, 50);
        for (int i = 1; i <= 5; i++)
        {
            Thread.Sleep(30);
            pool.Run(launch);
            Assert.That(launch.Counts, Has.All.EqualTo(i));
        }
    }

    [Test]
    [CancelAfter(20000)]
    public void An_exception_of_a_task_reaches_the_caller_and_the_pool_goes_on(
        [Values(1, 2, 4)] int threads, [Values(0, 50, 99)] int failing)
    {
        using var pool = new WorkerPool(threads);
        for (int i = 0; i < 20; i++)
        {
            InvalidOperationException? error = Assert.Throws<InvalidOperationException>(
                () => pool.Run(new Counting(2, 100) { Failing = failing }));
            Assert.That(error!.Message, Is.EqualTo($"task {failing}"));
            var next = new Counting(1, 10);
            pool.Run(next);
            Assert.That(next.Counts, Has.All.EqualTo(1));
        }
    }

    [Test]
    [CancelAfter(20000)]
    public void Dispose_ends_sleeping_and_spinning_workers([Values(1, 2, 4)] int threads, [Values(0, 50)] int wait)
    {
        var pool = new WorkerPool(threads);
        pool.Run(new Counting(1, 10));
        Thread.Sleep(wait);
        long start = Stopwatch.GetTimestamp();
        pool.Dispose();
        pool.Dispose();
        Assert.That(Stopwatch.GetElapsedTime(start).TotalSeconds, Is.LessThan(5));
        Assert.Throws<ObjectDisposedException>(() => pool.Run(new Counting(1, 10)));
    }

    [Test]
    [CancelAfter(20000)]
    public void Callers_on_several_threads_take_turns()
    {
        using var pool = new WorkerPool(2);
        Counting[] launches = Enumerable.Range(0, 4).Select(_ => new Counting(2, 9)).ToArray();
        Thread[] callers = [.. launches.Select(l => new Thread(() =>
        {
            for (int i = 0; i < 30; i++) pool.Run(l);
        }))];
        foreach (Thread caller in callers) caller.Start();
        foreach (Thread caller in callers) caller.Join();
        foreach (Counting launch in launches) Assert.That(launch.Counts, Has.All.EqualTo(30));
    }

    [Test]
    public void Each_thread_has_scratch_memory_of_its_own()
    {
        using var pool = new WorkerPool(3);
        pool.ReserveScratch(1000);
        Assert.That(pool.ScratchBytes, Is.EqualTo(3000));
        pool.ReserveScratch(10);
        Assert.That(pool.ScratchBytes, Is.EqualTo(3000));
        var launch = new Scribbling();
        pool.Run(launch);
        Assert.That(launch.Disturbed, Is.Zero);
    }

    private sealed unsafe class Counting(int phases, int tasks) : CpuLaunch
    {
        private int begun;

        public int[] Counts { get; } = new int[phases * tasks];

        public int OutOfOrder { get; private set; }

        public int Failing { get; init; } = -1;

        public override string Description => "counting";

        public override int Phases => phases;

        public override int Tasks(int phase) => tasks;

        public override void Run(int phase, int task, float* scratch)
        {
            if (task == Failing) throw new InvalidOperationException($"task {task}");
            // All tasks of the phase before have begun, and ended, when one of this phase begins.
            if (Interlocked.Increment(ref begun) <= phase * tasks) OutOfOrder++;
            Interlocked.Increment(ref Counts[phase * tasks + task]);
        }
    }

    private sealed unsafe class Scribbling : CpuLaunch
    {
        private int disturbed;

        public int Disturbed => disturbed;

        public override string Description => "scribbling";

        public override int Tasks(int phase) => 200;

        public override void Run(int phase, int task, float* scratch)
        {
            for (int i = 0; i < 250; i++) scratch[i] = task;
            Thread.SpinWait(1000);
            for (int i = 0; i < 250; i++)
                if (scratch[i] != task) Interlocked.Increment(ref disturbed);
        }
    }
}
