using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Tests;

public sealed class CpuExecutableTests
{
    [Test]
    public void A_run_allocates_nothing([Values(1, 2)] int threads, [Values] bool fuse)
    {
        using var device = new CpuDevice(threads);
        using IExecutable executable = device.Compile(Network.Make(), new CompileOptions { Fuse = fuse });
        for (int i = 0; i < 3; i++) executable.Run();
        // With one thread all tasks run here. The process's total would include the test host's own threads, which under
        // load allocated in each of fifty attempts.
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++) executable.Run();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void Names_counts_and_types_are_checked()
    {
        using var device = new CpuDevice(1);
        using IExecutable executable = device.Compile(Network.Make());
        Assert.That(Assert.Throws<GraphException>(() => executable.Write("no", new float[1]))!.Message,
            Does.Contain("'no'").And.Contain("step"));
        Assert.That(Assert.Throws<GraphException>(() => executable.Write("z", new float[23]))!.Message,
            Does.Contain("z [6, 4]").And.Contain("23"));
        Assert.That(Assert.Throws<GraphException>(() => executable.Write("z", new int[24]))!.Message, Does.Contain("I32"));
        Assert.That(Assert.Throws<GraphException>(() => executable.Write("step", new float[1]))!.Message, Does.Contain("F32"));
        Assert.That(Assert.Throws<GraphException>(() => executable.Read("no", new float[1]))!.Message, Does.Contain("'no'"));
        Assert.That(Assert.Throws<GraphException>(() => executable.Read("mean", new float[1]))!.Message, Does.Contain("[2, 16, 16, 3]"));
    }

    [Test]
    public void A_profile_times_each_kernel_and_updates_the_states()
    {
        using var device = new CpuDevice(1);
        using IExecutable run = device.Compile(Network.Make()), profiled = device.Compile(Network.Make());
        run.Run();
        IReadOnlyList<KernelTime> times = profiled.Profile();
        float[] expected = new float[2 * 16 * 16 * 3], found = new float[expected.Length];
        run.Read("x", expected);
        profiled.Read("x", found);
        Assert.That(found, Is.EqualTo(expected));
        Assert.That(times, Is.Not.Empty);
        Assert.That(times.Select(t => t.Seconds), Has.All.GreaterThanOrEqualTo(0));
        Assert.That(times.Where(t => t.Kernel.StartsWith("conv2d", StringComparison.Ordinal)).Select(t => t.Cost.Flops),
            Has.All.GreaterThan(0));
    }

    [Test]
    public void A_cancelled_run_stops()
    {
        using var device = new CpuDevice(1);
        using IExecutable executable = device.Compile(Network.Make());
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => executable.Run(source.Token));
        Assert.Throws<OperationCanceledException>(() => executable.Profile(source.Token));
    }

    [Test]
    public void Disposed_executables_and_devices_say_so()
    {
        var device = new CpuDevice(2);
        IExecutable first = device.Compile(Network.Make()), second = device.Compile(Network.Make());
        first.Dispose();
        Assert.Throws<ObjectDisposedException>(() => first.Run());
        Assert.Throws<ObjectDisposedException>(() => first.Profile());
        Assert.Throws<ObjectDisposedException>(() => first.Read("mean", new float[2 * 16 * 16 * 3]));
        second.Run();
        device.Dispose();
        Assert.Throws<ObjectDisposedException>(() => second.Run());
        second.Dispose();
    }

    [Test]
    public void Memory_counts_the_arena_and_the_constants()
    {
        using var device = new CpuDevice(1);
        using IExecutable shared = device.Compile(Network.Make()), own = device.Compile(
            Network.Make(), new CompileOptions { ReuseMemory = false });
        Assert.That(shared.MemoryBytes, Is.GreaterThan(0).And.LessThan(own.MemoryBytes));
    }

    [TestCase(-1)]
    [TestCase(1025)]
    public void An_absurd_number_of_threads_is_refused(int threads) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new CpuDevice(threads));

    [Test]
    public void The_description_names_width_and_threads()
    {
        using var device = new CpuDevice(2, SimdPath.Vector128);
        Assert.That(device.Description, Is.EqualTo("cpu (128-bit vectors, 2 threads)"));
        using var all = new CpuDevice();
        Assert.That(all.Description, Does.Contain(Environment.ProcessorCount.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }

    [Test]
    public void An_operator_without_a_kernel_is_named()
    {
        var g = new Graph();
        g.Output("y", g.Apply(new Unknown(), [g.Input("x", [1])], "mystery"));
        using var device = new CpuDevice(1);
        Assert.That(Assert.Throws<GraphException>(() => device.Compile(g))!.Message, Does.Contain("mystery").And.Contain("Unknown"));
    }

    private sealed record Unknown() : Operator(1)
    {
        public override Shape Infer(IReadOnlyList<Value?> inputs) => Take(inputs, 0, "x", -1).Shape;
    }
}
