using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Counters;

namespace RawDiffusion.Cli.Suites;

/// <summary>What a kernel variant needs on one architecture.</summary>
/// <param name="ComputeCapability">8.0 as 80.</param>
/// <param name="Kernel">Registers, shared memory, instructions.</param>
/// <param name="Occupancy">At the largest block it was launched with.</param>
internal sealed record VariantResources(int ComputeCapability, KernelResources Kernel, Occupancy Occupancy);

/// <summary>Everything that is known of one kernel variant after all cases ran.</summary>
internal sealed class VariantReport(KernelVariant variant)
{
    // Products on tensor cores read operands in rows: two accesses to a bank at once are the most that padding may leave.
    private const double MaxConflicts = 2;

    /// <summary>The kernel with its macros that the report is about.</summary>
    public KernelVariant Variant => variant;

    /// <summary>Cases that ran it.</summary>
    public int Cases { get; private set; }

    /// <summary>Largest error of those cases as a part of what was allowed.</summary>
    public double Error { get; private set; }

    /// <summary>Shared-memory wavefronts of the worst access, as a multiple of the least; 1 without bank conflicts.</summary>
    public double Conflicts { get; private set; } = 1;

    /// <summary>Sectors of global memory as a multiple of the least that the same bytes need.</summary>
    public double Sectors => ideal > 0 ? (double)sectors / ideal : 1;

    /// <summary>Matrix instructions that were executed.</summary>
    public long MatrixInstructions { get; private set; }

    /// <summary>The largest launch.</summary>
    public LaunchGeometry Geometry { get; private set; }

    /// <summary>On each architecture that was asked for.</summary>
    public List<VariantResources> Resources { get; } = [];

    /// <summary>Whether its products belong on tensor cores.</summary>
    public bool WantsTensorCores => variant.Kernel is "conv2d_forward" or "conv2d_grad_weight"
        || variant.Kernel.StartsWith("attention_", StringComparison.Ordinal)
        ? variant.Defines.Any(d => d.Name is "COMPUTE_T" or "OPERAND_T" && d.Value is "bf16" or "f16" or "tf32") : false;

    private bool IsMain => variant.Kernel.StartsWith("conv2d_", StringComparison.Ordinal)
        || variant.Kernel.StartsWith("attention_", StringComparison.Ordinal);

    private long sectors;
    private long ideal;

    /// <summary>Adds a launch of a case.</summary>
    public void Add(CaseResult result, bool isSubject, LaunchGeometry geometry, KernelCounters? counters)
    {
        Cases++;
        if (isSubject) Error = Math.Max(Error, result.Error / result.Tolerance);
        if ((geometry.Block.Count, geometry.SharedBytes).CompareTo((Geometry.Block.Count, Geometry.SharedBytes)) > 0) Geometry = geometry;
        if (counters is null) return;
        MatrixInstructions += counters.MatrixInstructions;
        sectors += counters.GlobalLoads.Transactions + counters.GlobalStores.Transactions;
        ideal += counters.GlobalLoads.Ideal + counters.GlobalStores.Ideal;
        foreach (LineTraffic line in counters.Lines)
        {
            if (line.Shared && line.Traffic.Ideal > 0)
                Conflicts = Math.Max(Conflicts, (double)line.Traffic.Transactions / line.Traffic.Ideal);
        }
    }

    /// <summary>What is wrong with it, in words.</summary>
    public IEnumerable<string> Faults()
    {
        if (!(Error <= 1)) yield return $"the result is {Error:0.0} times as far from the reference as allowed";
        if (IsMain && Conflicts > MaxConflicts)
            yield return $"an access to shared memory takes {Conflicts:0.0} times the wavefronts it needs: bank conflicts";
        foreach (VariantResources r in Resources)
        {
            if (r.Kernel.UsesLocalMemory)
                yield return $"sm_{r.ComputeCapability}: {r.Kernel.FrameBytes} bytes of registers are spilled to memory";
            if (r.Occupancy.Blocks == 0)
                yield return $"sm_{r.ComputeCapability}: a block does not fit a multiprocessor ({r.Occupancy.Limit})";
            if (WantsTensorCores && r.Kernel.Count("HMMA") == 0)
                yield return $"sm_{r.ComputeCapability}: no tensor-core instruction (HMMA)";
        }
    }
}
