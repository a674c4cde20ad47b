using System.Runtime.Intrinsics;

namespace RawDiffusion.Cpu.Tests;

/// <summary>A test that is generic in the vector width, run on each width that the processor has.</summary>
internal interface ISimdTest
{
    void Run<S, V>()
        where S : struct, ISimd<V>
        where V : unmanaged;
}

internal static class Simds
{
    /// <summary>The widths by name, to be the values of a test's parameter.</summary>
    public static readonly SimdPath[] Paths = [SimdPath.Avx512, SimdPath.Avx2, SimdPath.Vector128];

    /// <summary>Runs a test on one width; ignores it with the reason where the processor lacks that.</summary>
    public static void Run(SimdPath path, ISimdTest test)
    {
        try
        {
            new CpuDevice(1, path).Dispose();
        }
        catch (PlatformNotSupportedException e)
        {
            Assert.Ignore(e.Message);
        }
        switch (path)
        {
            case SimdPath.Avx512: test.Run<Simd512, Vector512<float>>(); break;
            case SimdPath.Avx2: test.Run<Simd256, Vector256<float>>(); break;
            default: test.Run<Simd128, Vector128<float>>(); break;
        }
    }
}
