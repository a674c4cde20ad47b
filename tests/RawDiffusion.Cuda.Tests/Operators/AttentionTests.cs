using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>Attention as it is stored in the middle of a network; the engine's tests have its inputs and outputs in float32.</summary>
public sealed class AttentionTests
{
    private static readonly KernelTolerance Tolerance = new(3e-6, 2e-3, 1e-2, 2e-3);

    // Batch, positions, heads, channels of a head: rows of keys beyond the end, ragged vectors, one and two row tiles.
    [TestCase(1, 1, 1, 20)]
    [TestCase(2, 65, 2, 20)]
    [TestCase(1, 37, 1, 33)]
    [TestCase(1, 130, 1, 64)]
    [TestCase(1, 70, 1, 128)]
    [TestCase(64, 70, 2, 8)]
    public void It_attends_from_and_to_stored_activations(int n, int positions, int heads, int d) => KernelContract.Check(
        Tolerance,
        (g, v) => g.Attention(v[0], heads),
        a => AttentionGradTests.Forward(a[0], n, positions, heads, d),
        [n, 1, positions, 3 * heads * d]);

    [Test]
    public void A_head_that_no_tiling_fits_is_refused()
    {
        var g = new Graph();
        g.Output("y", g.Attention(g.Input("qkv", [1, 2, 2, 3 * 129]), 1));
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), new KernelCompiler());
        Assert.That(() => device.Compile(g), Throws.TypeOf<GraphException>().With.Message.Contains("129"));
    }
}
