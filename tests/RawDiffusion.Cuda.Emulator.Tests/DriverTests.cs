using System.Text;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Counters;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Tests;

public class DriverTests
{
    private const string AddOne = Ptx.Header + """
        .visible .entry add_one(.param .u64 x, .param .u32 n)
        .maxntid 64, 1, 1
        {
        .reg .b32 %i, %n, %v; .reg .b64 %p, %o; .reg .pred %q;
        ld.param.u64 %p, [x]; ld.param.u32 %n, [n]; mov.u32 %i, %tid.x;
        setp.ge.u32 %q, %i, %n; @%q bra done;
        mul.wide.u32 %o, %i, 4; add.s64 %p, %p, %o;
        ld.global.u32 %v, [%p]; add.u32 %v, %v, 1; st.global.u32 [%p], %v;
        done: ret;
        }
        """;

    private EmulatedDriver driver = null!;
    private nint function;

    [SetUp]
    public void SetUp()
    {
        driver = new();
        function = driver.GetFunction(driver.LoadModule(Encoding.UTF8.GetBytes(AddOne)), "add_one");
    }

    [TearDown]
    public void TearDown() => driver.Dispose();

    private void Launch(LaunchGeometry geometry, params object[] arguments) =>
        driver.Launch(function, geometry, EmulatedGpu.Pack(arguments), 0);

    [Test]
    public void A_launch_that_a_driver_refuses_is_refused_with_the_reason()
    {
        ulong x = driver.Allocate(256);
        foreach ((LaunchGeometry geometry, string reason) in new (LaunchGeometry, string)[]
        {
            (new(1, 2048), "1024 threads"), (new(1, 128), "__launch_bounds__"), (new(0, 32), "at least 1"), (
                new(new Dim3(1, 70000), 32), "65535"),
            (new(1, 32, 50 << 10), "AllowDynamicSharedMemory"),
        })
        {
            CudaException error = Assert.Throws<CudaException>(() => Launch(geometry, x, 1))!;
            Assert.That(error.Message, Does.Contain(reason).And.Contain("cuLaunchKernel(add_one)"));
        }

        Assert.That(Assert.Throws<CudaException>(() => Launch(new(1, 32), x))!.Message,
            Does.Contain("8 bytes of arguments, the kernel's parameters take 12"));
    }

    [Test]
    public void Shared_memory_beyond_48_KiB_works_after_opting_in_and_never_beyond_the_device()
    {
        ulong x = driver.Allocate(256);
        driver.Fill(x, 0, 256, 0);
        driver.AllowDynamicSharedMemory(function, 100 << 10);

        Assert.That(() => Launch(new(1, 32, 100 << 10), x, 4), Throws.Nothing);
        Assert.That(() => driver.AllowDynamicSharedMemory(function, 164 << 10), Throws.TypeOf<CudaException>());
    }

    [Test]
    public void Memory_is_freed_once_and_not_used_afterwards()
    {
        ulong x = driver.Allocate(256);
        Assert.That(x % 256, Is.Zero);
        driver.Fill(x, 0, 256, 0);
        driver.Free(x);

        Assert.That(Assert.Throws<CudaException>(() => driver.Free(x))!.Message, Does.Contain("freed before"));
        EmulatorException error = Assert.Throws<EmulatorException>(() => Launch(new(1, 32), x, 4))!;
        Assert.That(error.Findings[0].Kind, Is.EqualTo(FindingKind.OutOfBounds));
        Assert.That(error.Message, Does.Contain("that was freed"));
    }

    [Test]
    public void A_device_copy_carries_what_nothing_wrote()
    {
        ulong from = driver.Allocate(256), to = driver.Allocate(256);
        driver.Fill(from, 0, 64, 0);
        driver.CopyOnDevice(to, from, 256, 0);

        Assert.That(() => Launch(new(1, 32), to, 16), Throws.Nothing);
        Assert.That(Assert.Throws<EmulatorException>(() => Launch(new(1, 32), to, 17))!.Findings[0].Kind,
            Is.EqualTo(FindingKind.Undefined));
    }

    [Test]
    public void A_handle_of_an_unloaded_module_is_unknown()
    {
        nint module = driver.LoadModule(Encoding.UTF8.GetBytes(AddOne));
        nint other = driver.GetFunction(module, "add_one");
        driver.UnloadModule(module);

        Assert.That(() => driver.Launch(other, new(1, 32), EmulatedGpu.Pack(0ul, 0), 0),
            Throws.TypeOf<CudaException>().With.Message.Contains("INVALID_HANDLE"));
        Assert.That(() => driver.UnloadModule(module), Throws.TypeOf<CudaException>());
        Assert.That(() => driver.GetFunction(module, "add_one"), Throws.TypeOf<CudaException>());
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Nodes_of_a_graph_that_touch_the_same_memory_must_wait_for_each_other(bool ordered)
    {
        ulong x = driver.Allocate(256);
        driver.Fill(x, 0, 256, 0);
        nint graph = driver.CreateGraph();
        byte[] arguments = EmulatedGpu.Pack(x, 16);
        nint first = driver.AddKernelNode(graph, [], function, new(1, 32), arguments);
        driver.AddKernelNode(graph, ordered ? [first] : [], function, new(1, 32), arguments);
        nint executable = driver.InstantiateGraph(graph);

        if (ordered)
        {
            driver.LaunchGraph(executable, 0);
            driver.LaunchGraph(executable, 0);
            Assert.That(driver.Kernels["add_one"].Launches, Is.EqualTo(4));
        }
        else
        {
            Assert.That(Assert.Throws<EmulatorException>(() => driver.LaunchGraph(executable, 0))!.Findings[0].Kind,
                Is.EqualTo(FindingKind.GraphRace));
        }
    }

    [Test]
    public void A_node_depends_on_nodes_of_its_own_graph_only()
    {
        ulong x = driver.Allocate(256);
        nint graph = driver.CreateGraph(), other = driver.CreateGraph();
        nint node = driver.AddCopyNode(graph, [], x, x + 128, 128);

        Assert.That(() => driver.AddCopyNode(other, [node], x, x + 128, 128),
            Throws.TypeOf<CudaException>().With.Message.Contains("not a node of the graph"));
    }

    [Test]
    public void Time_between_events_is_what_the_counted_work_takes_at_least()
    {
        ulong x = driver.Allocate(256);
        driver.Fill(x, 0, 256, 0);
        nint start = driver.CreateEvent(), end = driver.CreateEvent();
        Assert.That(() => driver.Elapsed(start, end), Throws.TypeOf<CudaException>());
        driver.RecordEvent(start, 0);
        Launch(new(1, 32), x, 32);
        driver.RecordEvent(end, 0);

        Assert.That(driver.Elapsed(start, end), Is.EqualTo(driver.LastLaunch!.BoundSeconds).Within(1e-12).And.GreaterThan(0));
        Assert.That(driver.Device.TimesAreBounds, Is.True);
    }

    [Test]
    public void Counters_count_sectors_and_operations()
    {
        ulong x = driver.Allocate(256);
        driver.Fill(x, 0, 256, 0);
        Launch(new(1, 32), x, 32);
        KernelCounters counters = driver.LastLaunch!;

        Assert.That(counters.GlobalLoads, Is.EqualTo(new Counters.Traffic(1, 4, 4, 128)));
        Assert.That(counters.GlobalStores, Is.EqualTo(new Counters.Traffic(1, 4, 4, 128)));
        Assert.That(counters.UniqueGlobalBytes, Is.EqualTo(128));
        Assert.That(counters.WarpInstructions, Is.EqualTo(11));
    }
}
