using System.Globalization;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>What a kernel is compiled for: PTX of a virtual architecture, or machine code of a real one.</summary>
/// <param name="IsMachineCode">Machine code (<c>sm_</c>) or PTX (<c>compute_</c>).</param>
/// <param name="ComputeCapability">8.0 as 80.</param>
public readonly record struct KernelTarget(bool IsMachineCode, int ComputeCapability)
{
    private const string MachineCode = "sm_", Ptx = "compute_";

    /// <summary>Reads <c>sm_80</c> or <c>compute_80</c>.</summary>
    /// <exception cref="ArgumentException">The text is neither.</exception>
    public static KernelTarget Parse(string text)
    {
        bool machineCode = text.StartsWith(MachineCode, StringComparison.Ordinal);
        string prefix = machineCode ? MachineCode : Ptx;
        if (text.StartsWith(prefix, StringComparison.Ordinal)
            && int.TryParse(text.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                && number is >= 10 and < 1000)
        {
            return new(machineCode, number);
        }

        throw new ArgumentException($"expected a target such as sm_80 (machine code) or compute_80 (PTX), found '{text}'");
    }

    /// <summary>
    /// What a compiler can make for this target: the target itself, or PTX of the newest architecture it knows, which the
    /// driver translates for GPUs that came later.
    /// </summary>
    /// <param name="architectures">What the compiler knows, rising.</param>
    /// <exception cref="KernelCompileException">The target is older than all that the compiler knows.</exception>
    public KernelTarget For(IReadOnlyList<int> architectures)
    {
        if (architectures.Contains(ComputeCapability)) return this;
        int capability = ComputeCapability;
        int newest = architectures.Where(a => a < capability).DefaultIfEmpty(0).Max();
        if (newest == 0)
        {
            throw new KernelCompileException(
                $"the compiler has no target {this}, only {string.Join(", ", architectures)}; install an older CUDA toolkit");
        }
        return new(false, newest);
    }

    /// <summary>
    /// Whether a device that wants this target can run code of another. Machine code runs on later devices of the same
    /// major capability, PTX on all later devices.
    /// </summary>
    /// <param name="other">What there is.</param>
    public bool CanRun(KernelTarget other) =>
        other == this || (IsMachineCode && other.ComputeCapability <= ComputeCapability
            && (!other.IsMachineCode || other.ComputeCapability / 10 == ComputeCapability / 10));

    /// <summary>As NVRTC's <c>-arch</c> takes it.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{(IsMachineCode ? MachineCode : Ptx)}{ComputeCapability}");
}
