using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Counters;
using RawDiffusion.Cuda.Emulator.Execution;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator;

/// <summary>
/// A CUDA driver without a GPU: loads the PTX that NVRTC emits, executes it on the CPU, and checks every access. Work is
/// done when it is queued. A launch in which something is wrong throws an <see cref="EmulatorException"/> after it ran, or,
/// with <see cref="EmulatorOptions.Collect"/>, adds to <see cref="Findings"/>. Not thread-safe.
/// </summary>
public sealed unsafe partial class EmulatedDriver : ICudaDriver
{
    private const int DefaultSharedBytes = 48 << 10;
    private readonly EmulatorOptions options;
    private readonly Rates rates;
    private readonly EmulatedMemory memory = new();
    private readonly FindingList findings = new();
    private readonly List<KernelCounters> launches = [];
    private readonly Dictionary<string, KernelCounters> kernels = [];
    private readonly Dictionary<nint, EmulatedModule> modules = [];
    private readonly Dictionary<nint, Function> functions = [];
    private readonly HashSet<nint> hostMemory = [];
    private readonly BlockRunner[] workers;
    private nint nextHandle = 1;
    private long launchNumber;
    private bool disposed;

    /// <summary>Starts an emulated device.</summary>
    /// <param name="options">What to emulate and to check; the defaults check everything.</param>
    public EmulatedDriver(EmulatorOptions? options = null)
    {
        this.options = options ?? new();
        rates = Rates.Of(this.options.Architecture);
        Device = rates.ToDeviceInfo();
        workers = new BlockRunner[this.options.Threads > 0 ? this.options.Threads : Environment.ProcessorCount];
        for (int i = 0; i < workers.Length; i++) workers[i] = new();

        streams.Add(0, 0);
    }

    private sealed class Function(nint module, KernelCode code)
    {
        public nint Module => module;

        public KernelCode Code => code;

        /// <summary>What a launch may ask for: at first what the static memory leaves of 48 KiB.</summary>
        public int DynamicSharedBytes { get; set; } = DefaultSharedBytes - code.StaticSharedBytes;
    }

    /// <summary>Which blocks run of a launch of so many, where it is too large to run whole; all where null.</summary>
    public Func<long, IEnumerable<long>>? Blocks { get; set; }

    /// <inheritdoc/>
    public CudaDeviceInfo Device { get; }

    /// <inheritdoc/>
    public string Target => "compute_80";

    /// <summary>Everything found so far, once per kind, kernel and line.</summary>
    public IReadOnlyList<Finding> Findings => findings.ToList();

    /// <summary>Counters of the latest launch; null before the first.</summary>
    public KernelCounters? LastLaunch => launches.Count > 0 ? launches[^1] : null;

    /// <summary>Counters of each launch, in order, since the start or <see cref="ResetCounters"/>.</summary>
    public IReadOnlyList<KernelCounters> Launches => launches;

    /// <summary>Counters summed by kernel name.</summary>
    public IReadOnlyDictionary<string, KernelCounters> Kernels => kernels;

    /// <summary>Forgets the findings so far.</summary>
    public void ForgetFindings() => findings.Clear();

    /// <summary>Forgets the counters so far.</summary>
    public void ResetCounters()
    {
        launches.Clear();
        kernels.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed) return;

        disposed = true;
        foreach (EmulatedModule module in modules.Values) module.Dispose();

        foreach (BlockRunner worker in workers) worker.Dispose();

        foreach (nint block in hostMemory) NativeMemory.AlignedFree((void*)block);

        modules.Clear();
        functions.Clear();
        hostMemory.Clear();
        memory.Dispose();
    }

    /// <inheritdoc/>
    public nint LoadModule(ReadOnlySpan<byte> image)
    {
        if (image.StartsWith("\u007fELF"u8))
        {
            throw new CudaException("cuModuleLoadData", "NO_BINARY_FOR_GPU",
                $"the image is machine code, the emulator executes PTX: compile for {Target}");
        }

        int end = image.IndexOf((byte)0);
        try
        {
            var module = new EmulatedModule(Encoding.UTF8.GetString(end < 0 ? image : image[..end]), memory);
            modules.Add(nextHandle, module);
            return nextHandle++;
        }
        catch (PtxException e)
        {
            throw new CudaException("cuModuleLoadData", "INVALID_PTX", e.Message);
        }
    }

    /// <inheritdoc/>
    public void UnloadModule(nint module)
    {
        Known(modules, module, "cuModuleUnload", "module").Dispose();
        modules.Remove(module);
        foreach (nint function in functions.Where(f => f.Value.Module == module).Select(f => f.Key).ToList())
        {
            functions.Remove(function);
        }
    }

    /// <inheritdoc/>
    public nint GetFunction(nint module, string name)
    {
        EmulatedModule loaded = Known(modules, module, $"cuModuleGetFunction({name})", "module");
        if (!loaded.Kernels.TryGetValue(name, out KernelCode? code))
        {
            throw new CudaException($"cuModuleGetFunction({name})", "NOT_FOUND",
                $"the module has {string.Join(", ", loaded.Kernels.Keys)}");
        }

        functions.Add(nextHandle, new(module, code));
        return nextHandle++;
    }

    /// <inheritdoc/>
    public void AllowDynamicSharedMemory(nint function, int bytes)
    {
        Function known = Known(functions, function, "cuFuncSetAttribute", "function");
        if (bytes < 0 || bytes + known.Code.StaticSharedBytes > rates.MaxSharedBytesPerBlock)
        {
            throw new CudaException($"cuFuncSetAttribute({known.Code.Name})", "INVALID_VALUE",
                $"{bytes} bytes of dynamic and {known.Code.StaticSharedBytes} of static shared memory, a block of this device has at most "
                + $"{rates.MaxSharedBytesPerBlock}");
        }

        known.DynamicSharedBytes = bytes;
    }

    /// <inheritdoc/>
    public void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream)
    {
        CheckStream(stream, "cuLaunchKernel");
        Function known = Checked(function, geometry, arguments);
        streams[stream] += Run(known.Code, geometry, arguments.ToArray(), null);
        ThrowNew();
    }

    private static T Known<T>(Dictionary<nint, T> table, nint handle, string call, string what) => table.TryGetValue(handle, out T? found)
        ? found
        : throw new CudaException(call, "INVALID_HANDLE", $"{what} {handle} does not exist, or no longer");

    /// <summary>What a driver would refuse before anything runs.</summary>
    private Function Checked(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments)
    {
        Function known = Known(functions, function, "cuLaunchKernel", "function");
        KernelCode code = known.Code;
        string call = $"cuLaunchKernel({code.Name})";
        (Dim3 grid, Dim3 block) = (geometry.Grid, geometry.Block);
        if (grid.X < 1 || grid.Y < 1 || grid.Z < 1 || block.X < 1 || block.Y < 1 || block.Z < 1)
        {
            throw new CudaException(call, "INVALID_VALUE", $"{geometry}: every extent must be at least 1");
        }

        if (grid.Y > 65535 || grid.Z > 65535)
        {
            throw new CudaException(call, "INVALID_VALUE", $"{geometry}: grid y and z are at most 65535");
        }

        if (block.Count > 1024 || block.Z > 64)
        {
            throw new CudaException(call, "INVALID_VALUE", $"{geometry}: a block has at most 1024 threads, and 64 in z");
        }

        if (code.MaxThreads > 0 && block.Count > code.MaxThreads)
        {
            throw new CudaException(call, "INVALID_VALUE",
                $"{geometry}: the kernel was compiled for at most {code.MaxThreads} threads (__launch_bounds__)");
        }

        if (code.RequiredThreads is { } required && (required.X, required.Y, required.Z) != (block.X, block.Y, block.Z))
        {
            throw new CudaException(call, "INVALID_VALUE", $"{geometry}: the kernel requires blocks of {required}");
        }

        if (geometry.SharedBytes < 0 || geometry.SharedBytes > known.DynamicSharedBytes)
        {
            throw new CudaException(call, "INVALID_VALUE",
                $"{geometry} and {code.StaticSharedBytes} static: {known.DynamicSharedBytes} bytes are allowed, more needs "
                + $"AllowDynamicSharedMemory (at most {rates.MaxSharedBytesPerBlock} in all)");
        }

        if (arguments.Length != code.ParameterBytes)
        {
            throw new CudaException(call, "INVALID_VALUE",
                $"{arguments.Length} bytes of arguments, the kernel's parameters take {code.ParameterBytes}");
        }

        return known;
    }

    /// <summary>Executes a launch; the least seconds that it can take on the device.</summary>
    private double Run(KernelCode code, LaunchGeometry geometry, byte[] arguments, GraphAccesses? accesses)
    {
        long blocks = geometry.Grid.Count;
        var launch = new EmulatedLaunch
        {
            Kernel = code,
            Geometry = geometry,
            Arguments = arguments,
            Memory = memory,
            Options = options,
            Findings = findings,
            Races = new BlockRaces(++launchNumber, blocks, options.CheckGlobalRaces),
            Multiprocessors = rates.Multiprocessors,
            Accesses = accesses,
        };
        long[]? chosen = Blocks is null ? null : [.. Blocks(blocks)];
        long running = chosen?.Length ?? blocks;
        int count = (int)Math.Min(workers.Length, running);
        BlockRunner[] used = workers.AsSpan(0, count).ToArray();
        long next = -1, stride = options.ScatterBlocks ? Stride(running) : 1;
        if (count == 1)
        {
            Work(used[0]);
        }
        else
        {
            Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = count }, i => Work(used[i]));
        }

        KernelCounters counters = CounterSummary.Of(code, running, [.. used.Select(w => w.Counters)], rates);
        launches.Add(counters);
        kernels[code.Name] = kernels.TryGetValue(code.Name, out KernelCounters? before) ? before.Plus(counters) : counters;
        return counters.BoundSeconds;

        void Work(BlockRunner worker)
        {
            worker.Prepare(launch);
            for (long block = Interlocked.Increment(ref next); block < running && !launch.Stopped; block = Interlocked.Increment(ref next))
            {
                long index = (long)((UInt128)block * (ulong)stride % (ulong)running);
                worker.Run(chosen is null ? index : chosen[index]);
            }
        }
    }

    // About the golden section of a count, and prime to it: multiples of it visit everything, neighbours late.
    private static long Stride(long count)
    {
        long stride = Math.Max(1, (long)(0.618 * count));
        while (BigInteger.GreatestCommonDivisor(stride, count) != 1) stride++;
        return stride;
    }

    private void ThrowNew()
    {
        if (!options.Collect && findings.Any)
        {
            IReadOnlyList<Finding> found = findings.ToList();
            findings.Clear();
            throw new EmulatorException(found);
        }
    }
}
