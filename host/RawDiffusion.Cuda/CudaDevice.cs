using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda;

/// <summary>A GPU, or the emulator, as a device: hand-written kernels, one CUDA graph for each executable.</summary>
public sealed class CudaDevice : IDevice
{
    private readonly CudaContext context;
    private readonly ConvTuner? tuner;

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
    public CudaDevice(ICudaDriver driver, IKernelCompiler compiler, Precision precision = Precision.Fp32, bool? specialize = null,
        ICommunicator? ranks = null, Action<string>? warn = null, Action<string>? tell = null)
        : this(new CudaContext(driver, compiler, precision, specialize ?? Measures(driver, compiler),
            ranks is null ? null : DeviceRanks.Join(driver, ranks, warn)))
    {
        // Times tiles; where it cannot, a model chooses them.
        if (context.Specialize && Measures(driver, compiler)) tuner = new ConvTuner(context, ConvTuner.UserFile, tell);
    }

    /// <summary>Makes a device of a context, which it owns from then on.</summary>
    internal CudaDevice(CudaContext context) => this.context = context;

    /// <inheritdoc/>
    public string Description =>
        $"{Driver.Device.Name} (compute capability {Driver.Device.ComputeCapability / 10}.{Driver.Device.ComputeCapability % 10}, "
        + $"{Precision.ToString().ToLowerInvariant()}{(context.Ranks is { } ranks ? $", sums {ranks.Description}" : "")})";

    /// <inheritdoc/>
    public PeakRates? Peak => TensorRates.Of(Driver.Device, Precision);

    /// <inheritdoc/>
    public bool TimesAreBounds => Driver.Device.TimesAreBounds;

    /// <summary>Storage and operands.</summary>
    public Precision Precision => context.Precision;

    internal ICudaDriver Driver => context.Driver;

    /// <inheritdoc/>
    public IExecutable Compile(Graph graph, CompileOptions? options = null) => Compile(graph, options ?? new CompileOptions(), null);

    /// <inheritdoc/>
    public void Dispose() => context.Dispose();

    /// <summary>Compiles a graph.</summary>
    /// <param name="graph">The graph before all passes.</param>
    /// <param name="options">Which passes to run.</param>
    /// <param name="tiles">Gives each convolution's tile; the device chooses where null.</param>
    internal CudaExecutable Compile(Graph graph, CompileOptions options, Func<Node, ConvShape, ConvTile>? tiles)
    {
        var traits = new DeviceTraits { FuseSkip = true, NeedsLossScale = Precision == Precision.Fp16 };
        PreparedGraph prepared = Pipeline.Apply(graph, options, this, traits);
        return new CudaExecutable(context, prepared, options, tiles ?? TilesFor(prepared, options));
    }

    // By timing them where that is possible and the graph runs often, by a model else; those that serve every device where kernels
    // are not specialised.
    private Func<Node, ConvShape, ConvTile> TilesFor(PreparedGraph graph, CompileOptions options)
    {
        if (!context.Specialize) return (_, shape) => ConvTiling.ChoosePortable(shape);
        return tuner is null || options.RunsOnce ? (_, shape) => ConvTiling.Choose(shape, Driver.Device) : tuner.TilesFor(graph, options);
    }

    private static bool Measures(ICudaDriver driver, IKernelCompiler compiler) => compiler.CanCompile && !driver.Device.TimesAreBounds;
}
