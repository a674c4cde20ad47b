using System.Collections.Concurrent;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda;

/// <summary>A GPU, or the emulator, as a device: hand-written kernels, one CUDA graph for each executable.</summary>
public sealed class CudaDevice : IDevice
{
    private readonly ICudaDriver driver;
    private readonly IKernelCompiler compiler;
    private readonly Dictionary<KernelVariant, (nint Module, nint Function)> functions = [];
    private readonly Dictionary<nint, int> dynamicShared = [];
    private bool disposed;

    /// <summary>Makes a device of a driver, which it owns from then on.</summary>
    /// <param name="driver">What executes.</param>
    /// <param name="compiler">Gives compiled kernels.</param>
    /// <param name="precision">Storage and operands of all executables.</param>
    /// <param name="specialize">
    /// Whether extents of shapes become compile-time constants of kernels: faster kernels, and a compilation for each new
    /// shape. Null: where the driver measures real time and the compiler can compile.
    /// </param>
    /// <param name="ranks">
    /// Processes with which graphs exchange data, each of which makes such a device: GPUs by NCCL where they can, others through host
    /// memory. Not owned.
    /// </param>
    /// <param name="warn">Told why GPUs do without NCCL.</param>
    /// <param name="tell">Told of work that takes long, and is done once.</param>
    /// <exception cref="CudaException">NCCL refused.</exception>
    public CudaDevice(
        ICudaDriver driver, IKernelCompiler compiler, Precision precision = Precision.Fp32, bool? specialize =
            null, ICommunicator? ranks = null,
        Action<string>? warn = null, Action<string>? tell = null)
    {
        this.driver = driver;
        this.compiler = compiler;
        Precision = precision;
        bool measures = compiler.CanCompile && !driver.Device.TimesAreBounds;
        Specialize = specialize ?? measures;
        if (measures && Specialize) Tuner = new ConvTuner(this, ConvTuner.UserFile, tell);
        if (ranks is not null) Ranks = DeviceRanks.Join(driver, ranks, warn);
    }

    /// <inheritdoc/>
    public string Description =>
        $"{driver.Device.Name} (compute capability {driver.Device.ComputeCapability / 10}.{driver.Device.ComputeCapability % 10}, "
        + $"{Precision.ToString().ToLowerInvariant()}{(Ranks is null ? "" : $", sums {Ranks.Description}")})";

    /// <inheritdoc/>
    public PeakRates? Peak => TensorRates.Of(driver.Device, Precision);

    /// <inheritdoc/>
    public bool TimesAreBounds => driver.Device.TimesAreBounds;

    /// <summary>Storage and operands.</summary>
    public Precision Precision { get; }

    internal bool Specialize { get; }

    /// <summary>The processes that run graphs together; null where this one is alone. Owned.</summary>
    internal IDeviceRanks? Ranks { get; init; }

    /// <summary>Times tiles; null where a model chooses them.</summary>
    internal ConvTuner? Tuner { get; init; }

    /// <summary>
    /// Chooses the tiles of a graph's convolutions: by timing them where that is possible and the graph runs often, by a model else; those
    /// that serve every device where kernels are not specialised.
    /// </summary>
    internal Func<Node, ConvShape, ConvTile> TilesFor(Graph graph, CompileOptions options)
    {
        if (!Specialize) return (_, shape) => ConvTiling.ChoosePortable(shape);
        return Tuner is null || options.RunsOnce ? (_, shape) => ConvTiling.Choose(shape, driver.Device) : Tuner.TilesFor(graph, options);
    }

    internal ICudaDriver Driver => driver;

    /// <inheritdoc/>
    public IExecutable Compile(Graph graph, CompileOptions? options = null) =>
        new CudaExecutable(this, graph, options ?? new CompileOptions());

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        Ranks?.Dispose();
        foreach ((nint module, _) in functions.Values) driver.UnloadModule(module);
        functions.Clear();
        driver.Dispose();
    }

    /// <summary>Compiles, side by side, and loads the variants that are not loaded yet.</summary>
    internal void Load(IEnumerable<KernelVariant> variants)
    {
        KernelVariant[] missing = [.. variants.Distinct().Where(v => !functions.ContainsKey(v))];
        var images = new ConcurrentDictionary<KernelVariant, byte[]>();
        try
        {
            Parallel.ForEach(missing, v => images[v] = compiler.Compile(v, driver.Target));
        }
        catch (AggregateException e)
        {
            // One message is enough: the first kernel that does not compile.
            throw e.Flatten().InnerExceptions[0];
        }
        foreach (KernelVariant variant in missing)
        {
            nint module = driver.LoadModule(images[variant]);
            functions.Add(variant, (module, driver.GetFunction(module, variant.Kernel)));
        }
    }

    /// <summary>A loaded kernel, allowed the shared memory that a launch asks for.</summary>
    internal nint Function(KernelVariant variant, int sharedBytes)
    {
        nint function = functions[variant].Function;
        // Also below 48 KiB, which static memory shares: a kernel that nobody allowed more has only what that leaves.
        if (dynamicShared.GetValueOrDefault(function) < sharedBytes)
        {
            driver.AllowDynamicSharedMemory(function, sharedBytes);
            dynamicShared[function] = sharedBytes;
        }
        return function;
    }
}
