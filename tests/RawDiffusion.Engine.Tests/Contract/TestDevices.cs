using RawDiffusion.Cpu;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;

namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>A device under test.</summary>
/// <param name="Name">For messages.</param>
/// <param name="Bits">Devices with the same text must agree bit for bit: they differ in their parallelism alone.</param>
/// <param name="Precision">Column of the table of tolerances.</param>
/// <param name="Device">The device.</param>
internal sealed record TestDevice(string Name, string Bits, Precision Precision, IDevice Device)
{
    public override string ToString() => Name;
}

/// <summary>The devices that every operator is tested on. A new device joins here, and nowhere else.</summary>
internal static class TestDevices
{
    private static readonly Lazy<IReadOnlyList<TestDevice>> LazyAll = new(() => [.. Make()]);

    public static IReadOnlyList<TestDevice> All => LazyAll.Value;

    /// <summary>One device of each kind, for tests of what does not depend on parallelism.</summary>
    public static IReadOnlyList<TestDevice> OneOfEach => [.. All.DistinctBy(d => d.Bits)];

    /// <summary>Vector widths that this processor lacks, with the reason.</summary>
    public static IReadOnlyDictionary<SimdPath, string> Missing { get; } = FindMissing();

    public static void DisposeAll()
    {
        if (!LazyAll.IsValueCreated) return;
        foreach (TestDevice device in All) device.Device.Dispose();
    }

    private static IEnumerable<TestDevice> Make()
    {
        foreach (SimdPath path in CpuPaths.Where(p => !Missing.ContainsKey(p)))
        {
            foreach (int threads in (int[])[1, 2])
                yield return new TestDevice($"cpu {path} x{threads}", $"cpu {path}", Precision.Float32, new CpuDevice(threads, path));
        }
        yield return new TestDevice(
            "cuda emulated", "cuda emulated", Precision.CudaFloat32, new CudaDevice(new EmulatedDriver(), new KernelCompiler()));
    }

    private static SimdPath[] CpuPaths => [.. Enum.GetValues<SimdPath>().Where(p => p != SimdPath.Auto)];

    private static Dictionary<SimdPath, string> FindMissing()
    {
        var missing = new Dictionary<SimdPath, string>();
        foreach (SimdPath path in CpuPaths)
        {
            try
            {
                new CpuDevice(1, path).Dispose();
            }
            catch (PlatformNotSupportedException e)
            {
                missing.Add(path, e.Message);
            }
        }
        return missing;
    }
}
