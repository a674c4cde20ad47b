using RawDiffusion.Cuda.Emulator.Counters;

namespace RawDiffusion.Cuda.Emulator.Tests;

public class BankConflictTests
{
    /// <summary>Wavefronts of one load by a warp in which lane i reads the word i * stride.</summary>
    private static Counters.Traffic Load(string type, int stride)
    {
        using var gpu = EmulatedGpu.Compile($$"""
            struct __align__(8) Two { float x, y; };
            struct __align__(16) Four { float x, y, z, w; };
            extern "C" __global__ void load({{type}}* out) {
                extern __shared__ __align__(16) float s[];
                for (int i = threadIdx.x; i < 4096; i += 32) s[i] = i;
                __syncwarp();
                out[threadIdx.x] = ({{type}}&)s[threadIdx.x * {{stride}}];
            }
            """, new());
        gpu.Launch("load", new(1, 32, 16384), gpu.Allocate<float>(128));
        return gpu.Driver.LastLaunch!.Lines.Single(l => l.Shared && l.Instruction.StartsWith("ld", StringComparison.Ordinal)).Traffic;
    }

    [TestCase("float", 1, 1, 1)]
    [TestCase("float", 2, 2, 1)]
    [TestCase("float", 32, 32, 1)]
    [TestCase("float", 33, 1, 1)]
    [TestCase("float", 0, 1, 1)]
    [TestCase("Two", 2, 2, 2)]
    [TestCase("Two", 4, 4, 2)]
    [TestCase("Four", 4, 4, 4)]
    [TestCase("Four", 8, 8, 4)]
    [TestCase("Four", 36, 4, 4)]
    public void Wavefronts_are_those_of_32_banks(string type, int stride, int wavefronts, int ideal)
    {
        Traffic traffic = Load(type, stride);

        Assert.That((traffic.Transactions, traffic.Ideal), Is.EqualTo(((long)wavefronts, (long)ideal)));
    }
}
