using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Exchange;

/// <summary>
/// Graphs that exchange data with another process, between kernels on streams that do their work as late or as early as they may.
/// </summary>
public sealed class ExchangeTests
{
    public enum Way
    {
        /// <summary>By the device, the exchange late.</summary>
        Late,

        /// <summary>By the device, the exchange early.</summary>
        Early,

        /// <summary>Through host memory.</summary>
        Host,
    }

    private static readonly CompileOptions[] Options = [
        new(), new() { ReuseMemory = false }, new() { Guard = true }, new() { Guard = true, ReuseMemory = false }];

    [Test]
    public void Sums_and_copies_come_to_those_who_wait_for_them(
        [Values] Way way, [Values(0, 1, 1013)] int count, [Values(0, 1, 2, 3)] int options)
    {
        using var bench = Bench.Of(way);
        using IExecutable executable = bench.Device.Compile(Rich(count), Options[options]);
        for (int run = 0; run < 3; run++)
        {
            float[] x = Numbers(count, run), y = Numbers(count, 10 + run);
            executable.Write("x", x);
            executable.Write("y", y);
            executable.Run();
            RequireRich(executable, x, y, [.. Enumerable.Range(0, run + 1).Select(r => Numbers(count, r))]);
        }
    }

    [Test]
    public void A_profiled_run_computes_the_same_and_has_exchanges_among_its_rows([Values] Way way)
    {
        using var bench = Bench.Of(way);
        using IExecutable executable = bench.Device.Compile(Rich(70));
        float[] x = Numbers(70, 1), y = Numbers(70, 2);
        executable.Write("x", x);
        executable.Write("y", y);
        IReadOnlyList<KernelTime> times = executable.Profile();
        RequireRich(executable, x, y, [x]);
        Assert.That(times.Where(t => t.Kernel.StartsWith("all_", StringComparison.Ordinal)).Select(t => $"{t.Name} {t.Kernel}"),
            Is.EqualTo(new[] { "first all_reduce_start", "gathered all_gather", "second all_reduce_start", "second.sum all_reduce_wait",
            "first.sum all_reduce_wait" }));
        Assert.That(times.Select(t => t.Seconds), Has.All.GreaterThanOrEqualTo(0));
    }

    [Test]
    public void Other_kernels_run_before_a_sum_is_there([Values] Way way)
    {
        using var bench = Bench.Of(way);
        var g = new Graph();
        Value x = g.Input("x", [64]);
        Value start = g.StartAllReduce(g.Add(x, x), 2), other = g.Add(x, g.Add(x, x));
        g.Output("other", other);
        g.Output("sum", g.AllReduceWait(start));
        using IExecutable executable = bench.Device.Compile(g);
        executable.Write("x", Numbers(64, 1));
        // The host waits where it is told to: what was queued by then has been done.
        if (way == Way.Host) bench.Driver.Eager.UnionWith(bench.Driver.Streams);
        executable.Run();
        executable.Synchronize();
        string[] expected = way == Way.Early ? ["graph", "sum", "graph"] : ["graph", "graph", "sum"];
        Assert.That(bench.Driver.Log.Take(3), Is.EqualTo(expected));
    }

    [Test]
    public void Without_exchanges_a_run_is_one_graph()
    {
        using var bench = Bench.Of(Way.Late);
        var g = new Graph();
        Value x = g.Input("x", [64]);
        g.Output("y", g.Add(g.Add(x, x), x));
        using IExecutable executable = bench.Device.Compile(g);
        executable.Write("x", new float[64]);
        executable.Run();
        executable.Synchronize();
        Assert.That(bench.Driver.Log, Is.EqualTo(new[] { "graph" }));
    }

    /// <summary>What other processes have is float32, whatever activations are stored in.</summary>
    [Test]
    public void Activations_are_exchanged_in_float32([Values] Way way)
    {
        using var bench = Bench.Of(way, Precision.Bf16);
        var g = new Graph();
        Value x = g.Input("x", [1, 2, 2, 8]), activation = g.Apply(new Activate(Activation.None), [x]);
        g.Output("sum", g.AllReduce(activation, 2));
        g.Output("all", g.AllGather(g.Apply(new Activate(Activation.None), [x]), 2));
        using IExecutable executable = bench.Device.Compile(g);
        float[] numbers = Numbers(32, 1), sum = new float[32], all = new float[64];
        executable.Write("x", numbers);
        executable.Run();
        executable.Read("sum", sum);
        executable.Read("all", all);
        Assert.That(sum, Is.EqualTo(numbers.Select(v => 2 * v)));
        Assert.That(all, Is.EqualTo(numbers.Concat(numbers.Select(v => -v))));
    }

    [TestCase(1)]
    [TestCase(3)]
    public void A_graph_for_other_numbers_of_processes_is_refused(int ranks)
    {
        using var bench = Bench.Of(Way.Host);
        var g = new Graph();
        g.Output("sum", g.AllReduce(g.Input("x", [4]), ranks));
        Assert.That(() => bench.Device.Compile(g),
            Throws.TypeOf<GraphException>().With.Message.Contains($"made for {ranks} processes, the device knows of 2"));
    }

    [Test]
    public void A_device_that_is_alone_refuses_exchanges()
    {
        using var device = new CudaDevice(new EmulatedDriver(), new KernelCompiler());
        var g = new Graph();
        g.Output("all", g.AllGather(g.Input("x", [4]), 2));
        Assert.That(() => device.Compile(g),
            Throws.TypeOf<GraphException>().With.Message.Contains("made for 2 processes, the device knows of 1"));
    }

    [Test]
    public void What_fails_on_the_device_is_told_where_it_is_waited_for()
    {
        using var bench = Bench.Of(Way.Late);
        using IExecutable executable = bench.Device.Compile(Rich(5));
        bench.Exchange!.Failure = new CudaException("ncclAllReduce", "remote process exited");
        executable.Write("x", new float[5]);
        executable.Write("y", new float[5]);
        Assert.That(() => executable.Run(), Throws.TypeOf<CudaException>().With.Message.Contains("remote process"));
    }

    [Test]
    public void The_device_ends_exchanges_before_its_driver()
    {
        var bench = Bench.Of(Way.Late);
        bench.Device.Dispose();
        bench.Device.Dispose();
        Assert.That(bench.Exchange!.IsDisposed);
        Assert.That(bench.Driver.Streams, Is.Empty);
    }

    [Test]
    public void A_devices_description_says_how_it_exchanges()
    {
        using var device = new CudaDevice(
            new EmulatedDriver(), new KernelCompiler(), ranks: new DoublingRanks([]), warn: message => Assert.Fail(message));
        Assert.That(device.Description, Does.EndWith("fp32, sums through host memory)"));
    }

    [TestCase(null, "22105 a", "22105 b")]
    [TestCase("NCCL was not found", "0 a", "22105 b")]
    [TestCase("process 1 did not find NCCL", "22105 a", "0 b")]
    [TestCase("process 0 has NCCL 2.21.5, process 2 2.18.1", "22105 a", "22105 b", "21801 c")]
    [TestCase("processes 0 and 2 have the same GPU", "22105 a", "22105 b", "22105 a")]
    public void Processes_use_NCCL_where_all_can(string? expected, params string[] told)
    {
        string? found = DeviceRanks.Obstacle([.. told.Select(t => t.Split(' ')).Select(t => (int.Parse(t[0]), t[1]))]);
        Assert.That(found, expected is null ? Is.Null : Does.StartWith(expected));
    }

    [TestCase(2804, "2.8.4")]
    [TestCase(20900, "2.9.0")]
    [TestCase(22105, "2.21.5")]
    public void A_version_is_written_as_people_do(int version, string expected) =>
        Assert.That(Nccl.VersionText(version), Is.EqualTo(expected));

    // Two sums on their way beside each other, and a gathering between their starts; the first sum's numbers are read on, the second's
    // memory is free for it.
    private static Graph Rich(int count)
    {
        var g = new Graph();
        Value x = g.Input("x", [count]), y = g.Input("y", [count]), state = g.State("state", [count]);
        Value a = g.Add(x, x, "a"), first = g.StartAllReduce(a, 2, "first");
        Value c = g.Add(x, y, "c"), gathered = g.AllGather(c, 2, "gathered"), d = g.Add(c, c, "d");
        Value second = g.StartAllReduce(g.Add(a, x, "b"), 2, "second");
        Value secondSum = g.AllReduceWait(second, "second.sum"), e = g.Add(secondSum, d, "e");
        Value firstSum = g.AllReduceWait(first, "first.sum");
        g.Output("gathered", gathered);
        g.Output("e", e);
        g.Output("f", g.Add(firstSum, secondSum, "f"));
        g.Assign(state, g.Add(state, firstSum, "next"));
        return g;
    }

    // Small integers: all sums are exact.
    private static void RequireRich(IExecutable executable, float[] x, float[] y, IReadOnlyList<float[]> all)
    {
        Assert.That(Read("gathered", 2 * x.Length), Is.EqualTo(x.Zip(y, (u, v) => u + v).Concat(x.Zip(y, (u, v) => -(u + v)))));
        Assert.That(Read("e", x.Length), Is.EqualTo(x.Zip(y, (u, v) => 6 * u + 2 * (u + v))));
        Assert.That(Read("f", x.Length), Is.EqualTo(x.Select(u => 10 * u)));
        Assert.That(Read("state", x.Length), Is.EqualTo(x.Select((_, i) => all.Sum(each => 4 * each[i]))));

        float[] Read(string name, int count)
        {
            float[] values = new float[count];
            values.AsSpan().Fill(float.NaN);
            executable.Read(name, values);
            return values;
        }
    }

    private static float[] Numbers(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.Next(-100, 100))];
    }

    private sealed record Bench(CudaDevice Device, LateStreams Driver, DoublingExchange? Exchange) : IDisposable
    {
        private static readonly KernelCompiler Compiler = new();

        public static Bench Of(Way way, Precision precision = Precision.Fp32)
        {
            var driver = new LateStreams(new EmulatedDriver());
            CudaDevice Device(IDeviceRanks ranks) => new(new CudaContext(driver, Compiler, precision, specialize: false, ranks));
            if (way == Way.Host) return new Bench(Device(new StagedRanks(driver, new DoublingRanks(driver.Log))), driver, null);
            var exchange = new DoublingExchange(driver);
            var ranks = new StreamRanks(driver, exchange);
            if (way == Way.Early) driver.Eager.Add(driver.Streams.Single());
            return new Bench(Device(ranks), driver, exchange);
        }

        public void Dispose() => Device.Dispose();
    }
}
