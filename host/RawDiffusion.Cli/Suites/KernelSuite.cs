using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator;

namespace RawDiffusion.Cli.Suites;

/// <summary>Runs all cases in all precisions, and gathers what is known of each kernel variant.</summary>
/// <param name="emulated">Whether the emulator executes the kernels and watches them; else a GPU does.</param>
/// <param name="precisions">Storage and operands to check.</param>
/// <param name="specialize">Whether kernels are compiled for the shapes at hand.</param>
internal sealed class KernelSuite(bool emulated, IReadOnlyList<Precision> precisions, bool specialize)
{
    private readonly Lock gate = new();
    private readonly KernelCompiler compiler = new();
    private readonly Dictionary<KernelVariant, VariantReport> reports = [];

    /// <summary>Each variant that ran, by name.</summary>
    public IEnumerable<VariantReport> Reports => reports.Values.OrderBy(r => r.Variant.ToString(), StringComparer.Ordinal);

    /// <summary>What the emulator found, and cases that failed altogether.</summary>
    public List<string> Findings { get; } = [];

    /// <summary>The device, for people.</summary>
    public string Description { get; private set; } = "";

    /// <summary>Runs cases; on the emulator side by side, each worker with devices of its own.</summary>
    /// <param name="cases">Those that run whole.</param>
    /// <param name="large">Those of which the emulator runs a part.</param>
    /// <param name="threads">Cases at once on the emulator.</param>
    /// <param name="caseDone">Told of each.</param>
    /// <param name="cancellation">Ends between cases.</param>
    public void Run(IReadOnlyList<KernelCase> cases, IReadOnlyList<LargeCase> large, int threads, Action caseDone,
        CancellationToken cancellation)
    {
        var options = new ParallelOptions { MaxDegreeOfParallelism = emulated ? threads : 1, CancellationToken = cancellation };
        Parallel.ForEach([.. cases, .. large], options, () => precisions.Select(Open).ToArray(),
            (object any, ParallelLoopState _, (CudaDevice, EmulatedDriver?)[] devices) =>
        {
            PreparedCase? prepared = any is KernelCase kernelCase ? new PreparedCase(kernelCase) : null;
            var ran = new HashSet<string>(StringComparer.Ordinal);
            foreach ((CudaDevice device, EmulatedDriver? emulator) in devices)
            {
                if (prepared is not null)
                {
                    Run(device, emulator, any, prepared.Case.Operator is Engine.Operators.Activate,
                        () => KernelCheck.Run(device, prepared, ran));
                }
                // Indices are the same whatever is stored: one precision shows them.
                else if (any is LargeCase part && device.Precision == precisions[0])
                {
                    Run(device, emulator, any, part.Operator(1) is Engine.Operators.Activate, () => RunPart(device, emulator!, part));
                }
            }
            caseDone();
            return devices;
        }, devices =>
        {
            foreach ((CudaDevice device, _) in devices) device.Dispose();
        });
    }

    /// <summary>Compiles each variant for architectures and reads what it needs there.</summary>
    public void ReadResources(IReadOnlyList<int> architectures, Action variantDone, CancellationToken cancellation) =>
        Parallel.ForEach(reports.Values, new ParallelOptions { CancellationToken = cancellation }, report =>
        {
            foreach (int architecture in architectures)
            {
                var cubin = new CubinInfo(compiler.Compile(report.Variant, $"sm_{architecture}"));
                KernelResources kernel = cubin.Kernels.Single(k => k.Name == report.Variant.Kernel);
                report.Resources.Add(new(architecture, kernel,
                    Occupancy.Of(kernel, (int)report.Geometry.Block.Count, report.Geometry.SharedBytes, architecture)));
            }
            variantDone();
        });

    private (CudaDevice Device, EmulatedDriver? Emulator) Open(Precision precision)
    {
        EmulatedDriver? emulator = emulated
            ? new EmulatedDriver(new EmulatorOptions { Threads = 1, Collect = true, ScatterBlocks = true }) : null;
        var device = new CudaDevice(emulator ?? (ICudaDriver)NvidiaDriver.Open(), compiler, precision, specialize);
        lock (gate) Description = emulator is null ? device.Description : "the emulator";
        return (device, emulator);
    }

    private static CaseResult RunPart(CudaDevice device, EmulatedDriver emulator, LargeCase part)
    {
        emulator.Blocks = part.Blocks;
        try
        {
            return KernelCheck.Run(device, part);
        }
        finally
        {
            emulator.Blocks = null;
        }
    }

    private void Run(CudaDevice device, EmulatedDriver? emulator, object any, bool isActivate, Func<CaseResult?> run)
    {
        emulator?.ResetCounters();
        try
        {
            CaseResult? result = run();
            lock (gate)
            {
                if (result is null) return;
                for (int i = 0; i < result.Launches.Count; i++)
                {
                    (KernelVariant variant, LaunchGeometry geometry) = result.Launches[i];
                    if (!reports.TryGetValue(variant, out VariantReport? report)) reports.Add(variant, report = new VariantReport(variant));
                    // Inputs and outputs are copied by activate_forward, which is not what the case is about.
                    bool subject = variant.Kernel != "activate_forward" || isActivate;
                    report.Add(result, subject, geometry, emulator?.Launches[i]);
                }
                if (!result.IsClose)
                {
                    Findings.Add($"{any} in {device.Precision}: differs by {result.Error:g3} of the largest element, allowed is "
                        + $"{result.Tolerance:g3}");
                }

                if (result.Drift > 0)
                {
                    Findings.Add($"{any} in {device.Precision}: all in all {result.Drift:g3} too small or too large: cut off where it "
                        + "should be rounded?");
                }
                if (!result.Repeats) Findings.Add($"{any} in {device.Precision}: a second run gave other bits");
            }
        }
        catch (Exception e) when (e is CudaException or KernelCompileException or Engine.GraphException)
        {
            lock (gate) Findings.Add($"{any} in {device.Precision}: {e.Message}");
        }
        if (emulator is null) return;
        lock (gate)
        {
            foreach (Cuda.Emulator.Findings.Finding finding in emulator.Findings) Findings.Add($"{any} in {device.Precision}: {finding}");
        }
        emulator.ForgetFindings();
    }
}
