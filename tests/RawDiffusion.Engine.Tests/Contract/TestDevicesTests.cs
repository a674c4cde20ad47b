using RawDiffusion.Cpu;

namespace RawDiffusion.Engine.Tests.Contract;

public sealed class TestDevicesTests
{
    [Test]
    public void Every_vector_width_is_tested([Values(SimdPath.Avx512, SimdPath.Avx2, SimdPath.Vector128)] SimdPath path)
    {
        if (TestDevices.Missing.TryGetValue(path, out string? reason)) Assert.Ignore(reason);
        Assert.That(TestDevices.All.Count(d => d.Bits == $"cpu {path}"), Is.EqualTo(2));
    }
}
