using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

/// <summary>Expected values follow from the tables and rules of the CUDA C++ programming guide, by hand.</summary>
public sealed class OccupancyTests
{
    // capability, registers, static and dynamic shared bytes, threads; blocks and what limits them
    [TestCase(80, 32, 0, 0, 256, 8, "warps")]
    [TestCase(86, 32, 0, 0, 256, 6, "warps")]
    [TestCase(90, 32, 0, 0, 1024, 2, "warps")]
    [TestCase(86, 32, 0, 0, 1024, 1, "warps")]
    [TestCase(80, 16, 0, 0, 32, 32, "blocks")]
    [TestCase(86, 16, 0, 0, 32, 16, "blocks")]
    [TestCase(89, 16, 0, 0, 32, 24, "blocks")]
    [TestCase(80, 128, 0, 0, 256, 2, "registers")] // 4096 a warp: 16 warps
    [TestCase(80, 33, 0, 0, 256, 6, "registers")] // 1056 become 1280 a warp: 12 warps in each quarter
    [TestCase(80, 33, 0, 0, 96, 16, "registers")] // 48 warps: 51 would fit were it not for the quarters
    [TestCase(80, 255, 0, 0, 256, 1, "registers")] // 8192 a warp: 2 warps in each quarter
    [TestCase(80, 64, 0, 0, 96, 10, "registers")] // 2048 a warp: 32 warps, 3 to a block
    [TestCase(80, 32, 0, 48 * 1024, 256, 3, "shared memory")] // 49 of 164 KiB
    [TestCase(86, 32, 0, 48 * 1024, 256, 2, "shared memory")] // 49 of 100 KiB
    [TestCase(90, 32, 16 * 1024, 32 * 1024, 256, 4, "shared memory")] // 49 of 228 KiB
    [TestCase(80, 32, 0, 163 * 1024, 128, 1, "shared memory")]
    [TestCase(80, 32, 1, 163 * 1024, 128, 0, "shared memory")] // more than a block may have
    [TestCase(89, 32, 0, 99 * 1024, 128, 1, "shared memory")]
    [TestCase(80, 32, 40, 7040, 64, 20, "shared memory")] // 8104 become 8192 bytes: 20.5 blocks
    public void Blocks_are_limited_by_what_is_used_up_first(
    int capability, int registers, int shared, int dynamic, int threads, int blocks, string limit)
    {
        var occupancy = Occupancy.Of(Kernel(registers, shared), threads, dynamic, capability);
        Assert.That((occupancy.Blocks, occupancy.Limit), Is.EqualTo((blocks, limit)));
    }

    [Test]
    public void The_fraction_is_of_the_warps_that_the_architecture_holds()
    {
        Assert.That(Occupancy.Of(Kernel(32, 0), 200, 0, 80), Is.EqualTo(new Occupancy(9, 63, 63 / 64.0, "warps")));
        Assert.That(Occupancy.Of(Kernel(128, 0), 256, 0, 86).Fraction, Is.EqualTo(16 / 48.0));
    }

    [Test]
    public void What_is_not_known_is_refused()
    {
        Assert.That(() => Occupancy.Of(Kernel(32, 0), 128, 0, 75), Throws.ArgumentException.With.Message.Contains("75"));
        Assert.That(() => Occupancy.Of(Kernel(32, 0), 1025, 0, 80), Throws.ArgumentException.With.Message.Contains("1025"));
        Assert.That(() => Occupancy.Of(Kernel(32, 0), 0, 0, 80), Throws.ArgumentException);
    }

    private static KernelResources Kernel(int registers, int shared) => new()
    {
        Name = "kernel",
        Registers = registers,
        FrameBytes = 0,
        StaticSharedBytes = shared,
        Barriers = 1,
        ParameterBytes = 8,
        CodeBytes = 0,
        Operations = new Dictionary<string, int>(),
    };
}
