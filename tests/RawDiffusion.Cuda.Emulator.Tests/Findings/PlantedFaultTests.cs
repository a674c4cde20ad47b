using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Tests.Findings;

/// <summary>Each fault is planted in a kernel and found; its repaired twin is clean.</summary>
public class PlantedFaultTests
{
    private const string Reverse = """
        extern "C" __global__ void reverse(const float* x, float* y) {
            __shared__ float s[128];
            s[threadIdx.x] = x[threadIdx.x];
            BARRIER;
            y[threadIdx.x] = s[127 - threadIdx.x];
        }
        """;

    private static IReadOnlyList<Finding> Run(string source, string kernel, LaunchGeometry geometry, Func<EmulatedGpu, object[]> arguments,
        params (string From, string To)[] changes)
    {
        foreach ((string from, string to) in changes)
        {
            Assert.That(source, Does.Contain(from), "the change applies");
            source = source.Replace(from, to, StringComparison.Ordinal);
        }

        using var gpu = EmulatedGpu.Compile(source);
        gpu.Launch(kernel, geometry, arguments(gpu));
        return gpu.Findings;
    }

    private static object[] TwoFloats(EmulatedGpu gpu) => [gpu.Upload(Ptx.Repeat(128, i => (float)i)), gpu.Allocate<float>(128)];

    [Test]
    public void A_missing_barrier_is_a_race_that_names_line_and_both_threads()
    {
        IReadOnlyList<Finding> findings = Run(Reverse, "reverse", new(1, 128), TwoFloats, ("BARRIER", ""));

        Assert.That(findings, Has.Count.GreaterThanOrEqualTo(1));
        Assert.That(findings[0].Kind, Is.AnyOf(FindingKind.SharedRace, FindingKind.Undefined));
        Assert.That(findings[0].Location.Line, Is.EqualTo(5));
        Assert.That(findings[0].ToString(), Does.StartWith("test.cu:5 reverse block (0,0,0) thread ("));
        Assert.That(findings.Any(
            f => f.Kind == FindingKind.SharedRace && f.Details.Contains("thread (", StringComparison.Ordinal)), Is.True);
    }

    [Test]
    public void With_its_barrier_the_kernel_is_clean()
    {
        Assert.That(Run(Reverse, "reverse", new(1, 128), TwoFloats, ("BARRIER", "__syncthreads()")), Is.Empty);
    }

    private const string WarpExchange = """
        extern "C" __global__ void exchange(const float* x, float* y) {
            __shared__ volatile float s[32];
            s[threadIdx.x] = x[threadIdx.x];
            ORDER;
            y[threadIdx.x] = s[31 - threadIdx.x];
        }
        """;

    [Test]
    public void Lanes_of_a_warp_need_syncwarp_and_a_shuffle_is_not_enough()
    {
        Assert.That(Run(WarpExchange, "exchange", new(1, 32), TwoFloats, ("ORDER", "")).Select(f => f.Kind),
            Is.EqualTo(new[] { FindingKind.SharedRace }));
        Assert.That(
            Run(WarpExchange, "exchange", new(1, 32), TwoFloats, ("ORDER", "if (__shfl_xor_sync(~0u, x[threadIdx.x], 1) > 1e9f) return"))
                .Select(f => f.Kind),
            Is.EqualTo(new[] { FindingKind.SharedRace }));
        Assert.That(Run(WarpExchange, "exchange", new(1, 32), TwoFloats, ("ORDER", "__syncwarp()")), Is.Empty);
    }

    private const string Rounds = """
        extern "C" __global__ void rounds(const float* x, float* y) {
            __shared__ float s[128];
            float v = 0;
            for (int i = 0; i < 3; i++) {
                s[threadIdx.x] = x[threadIdx.x] + i;
                __syncthreads();
                v += s[(threadIdx.x + 1) & 127];
                SECOND;
            }
            y[threadIdx.x] = v;
        }
        """;

    [Test]
    public void A_write_that_overtakes_the_reads_of_the_round_before_is_a_race()
    {
        IReadOnlyList<Finding> findings = Run(Rounds, "rounds", new(1, 128), TwoFloats, ("SECOND", ""));

        Assert.That(findings.Select(f => f.Kind), Has.All.EqualTo(FindingKind.SharedRace));
        Assert.That(findings.Any(f => f.Location.Line == 5 && f.Details.Contains("read", StringComparison.Ordinal)), Is.True);
        Assert.That(Run(Rounds, "rounds", new(1, 128), TwoFloats, ("SECOND", "__syncthreads()")), Is.Empty);
    }

    private const string OffByOne = """
        extern "C" __global__ void add(const float* x, float* y, int n) {
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i COMPARES n) y[i] = x[i] + 1;
        }
        """;

    [Test]
    public void One_element_too_many_is_out_of_bounds()
    {
        object[] Arguments(EmulatedGpu gpu) => [gpu.Upload(Ptx.Repeat(100, i => (float)i)), gpu.Allocate<float>(100), 100];
        IReadOnlyList<Finding> findings = Run(OffByOne, "add", new(4, 32), Arguments, ("COMPARES", "<="));

        Assert.That(findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.OutOfBounds, }).Or.EqualTo(
            new[] { FindingKind.OutOfBounds, FindingKind.OutOfBounds }));
        Assert.That(findings[0].ToString(), Does.StartWith("test.cu:3 add block (3,0,0) thread (4,0,0): reads 4 bytes at 0x"));
        Assert.That(findings[0].Details, Does.Contain("0 bytes past the end of a 400-byte allocation"));
        Assert.That(findings[0].Count, Is.EqualTo(2), "the read and the write stand on one line");
        Assert.That(Run(OffByOne, "add", new(4, 32), Arguments, ("COMPARES", "<")), Is.Empty);
    }

    [Test]
    public void A_read_of_what_nothing_wrote_is_found_in_global_memory()
    {
        object[] Arguments(EmulatedGpu gpu)
        {
            ulong x = gpu.Allocate<float>(100);
            gpu.Driver.Fill(x, 0, 99 * 4, 0);
            return [x, gpu.Allocate<float>(100), 100];
        }

        IReadOnlyList<Finding> findings = Run(OffByOne, "add", new(4, 32), Arguments, ("COMPARES", "<"));

        Assert.That(findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.Undefined }));
        Assert.That(findings[0].Details, Does.Contain("offset 396"));
    }

    [Test]
    public void A_read_of_what_nothing_wrote_is_found_in_shared_memory()
    {
        IReadOnlyList<Finding> findings = Run("""
            extern "C" __global__ void tail(const float* x, float* y) {
                __shared__ float s[129];
                s[threadIdx.x] = x[threadIdx.x];
                __syncthreads();
                y[threadIdx.x] = s[threadIdx.x + 1];
            }
            """, "tail", new(1, 128), TwoFloats);

        Assert.That(findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.Undefined }));
        Assert.That(findings[0].Thread.X, Is.EqualTo(127));
    }

    [Test]
    public void A_vector_access_on_an_odd_element_is_misaligned()
    {
        IReadOnlyList<Finding> findings = Run("""
            extern "C" __global__ void pairs(const float* x, float* y) {
                ((float2*)y)[threadIdx.x] = *(const float2*)(x + 1 + 2 * threadIdx.x);
            }
            """.Replace("float2", "double", StringComparison.Ordinal), "pairs", new(1, 32), TwoFloats);

        Assert.That(findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.Misaligned }));
    }

    private const string AsyncCopy = """
        __device__ unsigned shared_address(const void* p) {
            unsigned r;
            asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
            return r;
        }
        extern "C" __global__ void copy(const float* x, float* y) {
            __shared__ __align__(16) float s[128];
            if (threadIdx.x < 32) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                :: "r"(shared_address(s + 4 * threadIdx.x)), "l"(x + 4 * threadIdx.x) : "memory");
            asm volatile("cp.async.commit_group;" ::: "memory");
            WAIT;
            BARRIER;
            y[threadIdx.x] = s[127 - threadIdx.x];
        }
        """;

    [Test]
    public void An_asynchronous_copy_needs_a_wait_and_a_barrier()
    {
        const string Wait = "asm volatile(\"cp.async.wait_group 0;\" ::: \"memory\")";

        Assert.That(Run(AsyncCopy, "copy", new(1, 128), TwoFloats, ("WAIT", ""), ("BARRIER", "__syncthreads()")).Select(f => f.Kind),
            Is.EqualTo(new[] { FindingKind.AsyncCopyPending }));
        Assert.That(Run(AsyncCopy, "copy", new(1, 128), TwoFloats, ("WAIT", Wait), ("BARRIER", "")).Select(f => f.Kind),
            Does.Contain(FindingKind.SharedRace));
        Assert.That(Run(AsyncCopy, "copy", new(1, 128), TwoFloats, ("WAIT", Wait), ("BARRIER", "__syncthreads()")), Is.Empty);
    }

    [Test]
    public void Blocks_that_write_the_same_memory_race()
    {
        const string Source = """
            extern "C" __global__ void total(const float* x, float* y) {
                float v = x[blockIdx.x * 32 + threadIdx.x];
                STORE;
            }
            """;

        Assert.That(Run(Source, "total", new(4, 32), TwoFloats, ("STORE", "y[threadIdx.x] = v")).Select(f => f.Kind),
            Is.EqualTo(new[] { FindingKind.GlobalRace }));
        Assert.That(Run(Source, "total", new(4, 32), TwoFloats, ("STORE", "y[blockIdx.x * 32 + threadIdx.x] = v")), Is.Empty);
        Assert.That(Run(Source, "total", new(4, 32), gpu => [gpu.Upload(new float[128]), gpu.Upload(new float[32])],
            ("STORE", "atomicAdd(y + threadIdx.x, v)")), Is.Empty);
    }

    private const string LastBlock = """
        __device__ unsigned done;
        extern "C" __global__ void sum(const float* x, float* partial, float* y) {
            __shared__ bool last;
            if (threadIdx.x == 0) {
                partial[blockIdx.x] = x[blockIdx.x];
                FENCE;
                last = TICKET;
            }
            __syncthreads();
            AFTER;
            if (last && threadIdx.x == 0) { float v = 0; for (int i = 0; i < gridDim.x; i++) v += partial[i]; *y = v; }
        }
        """;

    [Test]
    public void The_last_block_may_read_what_the_others_released()
    {
        object[] Arguments(EmulatedGpu gpu) => [gpu.Upload(1f, 2f, 3f, 4f), gpu.Allocate<float>(4), gpu.Allocate<float>(1)];

        FindingKind[] Found(string before, string after) => [.. Run(LastBlock, "sum", new(4, 32), Arguments,
            ("FENCE", before), ("TICKET", "atomicAdd(&done, 1) == gridDim.x - 1"), ("AFTER", after)).Select(f => f.Kind)];
        Assert.That(Found("__threadfence()", "__threadfence()"), Is.Empty);
        Assert.That(Found("", "__threadfence()"), Is.EqualTo(new[] { FindingKind.GlobalRace }), "nothing is released");
        Assert.That(Found("__threadfence()", ""), Is.EqualTo(new[] { FindingKind.GlobalRace }), "nothing is acquired");
    }

    [Test]
    public void A_barrier_in_divergent_code_is_found()
    {
        const string Source = """
            extern "C" __global__ void half(const float* x, float* y) {
                if (threadIdx.x < LIMIT) { y[threadIdx.x] = x[threadIdx.x]; __syncthreads(); } else { y[threadIdx.x] = 0; OTHER; }
            }
            """;

        Assert.That(Run(Source, "half", new(1, 64), TwoFloats, ("LIMIT", "16"), ("OTHER", "")).Select(f => f.Kind),
            Does.Contain(FindingKind.Barrier));
        Assert.That(
            Run(Source, "half", new(1, 64), TwoFloats, ("LIMIT", "16"), ("OTHER", "asm volatile(\"bar.sync 0;\")")).Select(f => f.Details),
            Has.Some.Contains("different instructions"));
        Assert.That(Run(Source, "half", new(1, 64), TwoFloats, ("LIMIT", "32"), ("OTHER", "")).Select(f => f.Kind),
            Does.Contain(FindingKind.Barrier));
        Assert.That(Run(Source, "half", new(1, 64), TwoFloats, ("LIMIT", "32"), ("OTHER", "__syncthreads()")), Is.Empty);
    }

    [Test]
    public void Threads_that_wait_at_different_named_barriers_for_ever_are_a_deadlock()
    {
        const string Source = """
            extern "C" __global__ void wait(const float* x, float* y) {
                if (threadIdx.x < 32) asm volatile("bar.sync 1, 64;" ::: "memory"); else asm volatile("bar.sync OTHER, 64;" ::: "memory");
                y[threadIdx.x] = x[threadIdx.x];
            }
            """;

        Assert.That(Run(Source, "wait", new(1, 64), TwoFloats, ("OTHER", "2")).Select(f => f.Kind),
            Is.EqualTo(new[] { FindingKind.Deadlock }));
        Assert.That(Run(Source, "wait", new(1, 64), TwoFloats, ("OTHER", "1")), Is.Empty);
    }

    [Test]
    public void A_named_barrier_orders_those_who_take_part_and_nobody_else()
    {
        const string Source = """
            extern "C" __global__ void pass(const float* x, float* y) {
                __shared__ float s[32];
                int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
                if (warp == 0) { s[lane] = x[lane]; asm volatile("bar.arrive 1, 64;" ::: "memory"); }
                else if (warp == 1) { asm volatile("bar.sync 1, 64;" ::: "memory"); y[lane] = s[31 - lane]; }
                else if (warp == READER) y[lane] = s[lane];
            }
            """;

        Assert.That(Run(Source, "pass", new(1, 96), TwoFloats, ("READER", "3")), Is.Empty);
        Assert.That(Run(Source, "pass", new(1, 96), TwoFloats, ("READER", "2")).Select(f => f.Kind),
            Does.Contain(FindingKind.SharedRace).Or.Contain(FindingKind.Undefined));
    }

    [Test]
    public void A_shuffle_from_a_lane_that_left_is_found()
    {
        const string Source = """
            extern "C" __global__ void shuffle(const float* x, float* y) {
                float v = x[threadIdx.x];
                if (threadIdx.x < LIMIT) v += __shfl_down_sync(MASK, v, 8);
                y[threadIdx.x] = v;
            }
            """;

        Assert.That(Run(Source, "shuffle", new(1, 32), TwoFloats, ("LIMIT", "16"), ("MASK", "~0u")).Select(f => f.Kind),
            Does.Contain(FindingKind.Convergence));
        Assert.That(Run(Source, "shuffle", new(1, 32), TwoFloats, ("LIMIT", "32"), ("MASK", "~0u")), Is.Empty);
    }

    private const string ReadOnly = """
        __device__ float cached(const float* p) { float v; asm volatile("ld.global.nc.f32 %0, [%1];" : "=f"(v) : "l"(p)); return v; }
        extern "C" __global__ void shift(const float* x, float* y) {
            if (threadIdx.x >= 32) BEFORE;
            float v = READ;
            if (threadIdx.x < 32) AFTER;
            y[64 + threadIdx.x] = v;
        }
        """;

    [TestCase("y[threadIdx.x] = 1.f", "", TestName = "Written before")]
    [TestCase("", "y[threadIdx.x] = 1.f", TestName = "Written after")]
    [TestCase("", "atomicAdd(y + threadIdx.x, 1.f)", TestName = "Changed after")]
    public void What_a_launch_writes_is_not_read_through_the_read_only_cache(string before, string after)
    {
        object[] Same(EmulatedGpu gpu)
        {
            ulong both = gpu.Upload(new float[128]);
            return [both, both];
        }

        IReadOnlyList<Finding> findings = Run(
            ReadOnly, "shift", new(1, 64), Same, ("BEFORE", before), ("READ", "cached(x + threadIdx.x)"), ("AFTER", after));
        Assert.That(findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.Incoherent }));
        Assert.That(findings[0].Location.Line, Is.AnyOf(1, 5));
        Assert.That(findings[0].Details, Does.Contain("ld.global.nc").And.Contain($"0x{findings[0].Address:x}"));
        Assert.That(Run(ReadOnly, "shift", new(1, 64), Same, ("BEFORE", before), ("READ", "*(const volatile float*)(x + threadIdx.x)"),
            ("AFTER", after)), Is.Empty, "another load sees it");
        Assert.That(Run(ReadOnly, "shift", new(1, 64), TwoBuffers, ("BEFORE", before), ("READ", "cached(x + threadIdx.x)"),
            ("AFTER", after)), Is.Empty, "what is written is other memory");
    }

    private static object[] TwoBuffers(EmulatedGpu gpu) => [gpu.Upload(new float[128]), gpu.Upload(new float[128])];

    [Test]
    public void A_later_launch_may_write_what_an_earlier_one_read_through_the_read_only_cache()
    {
        using var gpu = EmulatedGpu.Compile("""
            extern "C" __global__ void copy(const float* __restrict__ x, float* __restrict__ y) { y[threadIdx.x] = x[threadIdx.x]; }
            """);
        ulong a = gpu.Upload(new float[32]), b = gpu.Upload(new float[32]);
        gpu.Launch("copy", new(1, 32), a, b);
        gpu.Launch("copy", new(1, 32), b, a);
        Assert.That(gpu.Findings, Is.Empty);
    }

    [TestCase("y[104] = x[0]", "writes")]
    [TestCase("y[0] = y[103]", "reads")]
    [TestCase("atomicAdd(y + 100, 1.f)", "changes")]
    [TestCase("y[96 + threadIdx.x] = x[0]", "writes")]
    public void Padding_between_pieces_is_out_of_bounds(string body, string verb)
    {
        using var gpu = EmulatedGpu.Compile($$"""
            extern "C" __global__ void touch(const float* x, float* y) { {{body}}; }
            """);
        ulong x = gpu.Upload(new float[32]), y = gpu.Upload(new float[256]);
        gpu.Driver.Fence(y + 4 * 10, 4 * 2);
        gpu.Driver.Fence(y + 4 * 100, 4 * 28);
        gpu.Launch("touch", new(1, 32), x, y);
        Assert.That(gpu.Findings.Select(f => f.Kind), Is.EqualTo(new[] { FindingKind.OutOfBounds }));
        Assert.That(gpu.Findings[0].Details, Does.StartWith(verb).And.Contain("in padding between pieces, at byte 4"));
    }

    [Test]
    public void Pieces_beside_padding_are_open_and_copies_of_the_host_go_over_it()
    {
        using var gpu = EmulatedGpu.Compile("""
            extern "C" __global__ void touch(float* y) { y[threadIdx.x] += 1.f; y[64 + threadIdx.x] += 1.f; }
            """);
        ulong y = gpu.Upload(new float[128]);
        gpu.Driver.Fence(y + 4 * 32, 4 * 32);
        gpu.Driver.Fence(y + 4 * 96, 4 * 32);
        gpu.Launch("touch", new(1, 32), y);
        Assert.That(gpu.Findings, Is.Empty);
        Assert.That(gpu.Download<float>(y, 128).Sum(), Is.EqualTo(64));
    }

    /// <summary>Of a launch past 2^31 elements the last block runs alone; an index of 32 bits leaves the memory.</summary>
    [Test]
    public void A_launch_too_large_to_run_whole_runs_in_part([Values("size_t", "int")] string index)
    {
        using var gpu = EmulatedGpu.Compile($$"""
            extern "C" __global__ void last(unsigned char* y) {
                {{index}} i = ({{index}})blockIdx.x * 1024 + threadIdx.x;
                y[i] = (unsigned char)threadIdx.x;
            }
            """);
        const long bytes = 3L << 30;
        ulong y = gpu.Driver.Allocate(bytes);
        gpu.Driver.Blocks = blocks => [blocks - 1];
        gpu.Launch("last", new((int)(bytes / 1024), 1024), y);
        Assert.That(gpu.Findings.Select(f => f.Kind), Is.EqualTo(index == "int" ? new[] { FindingKind.OutOfBounds } : []));
        if (index != "int")
            Assert.That(gpu.Download<byte>(y + bytes - 256, 256), Is.EqualTo(Enumerable.Range(0, 256).Select(i => (byte)i)));
    }
}
