using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Launches;

/// <summary>What kernels cannot count is refused when a graph is compiled. The driver has no memory: nothing is allocated.</summary>
public sealed class LimitTests
{
    [Test]
    public void More_elements_than_a_kernel_counts_are_refused()
    {
        Assert.That(() => Compile(new Activate(Activation.Silu), [Elementwise.MaxCount]), Throws.Nothing);
        Assert.That(() => Compile(new Activate(Activation.Silu), [Elementwise.MaxCount + 1]),
            Throws.TypeOf<GraphException>().With.Message.Contains($"takes at most {Elementwise.MaxCount}"));
        Assert.That(() => Compile(new Activate(Activation.Silu), [1 << 16, 1 << 8, 1 << 8]),
            Throws.TypeOf<GraphException>().With.Message.Contains("4294967296 elements").And.Message.Contains("smaller batch"));
    }

    [Test]
    public void More_blocks_than_a_grid_takes_are_refused()
    {
        Assert.That(() => Compile(new Attention(1), [LaunchBuilder.MaxBlocks, 1, 1, 24]), Throws.Nothing);
        Assert.That(() => Compile(new Attention(1), [LaunchBuilder.MaxBlocks + 1, 1, 1, 24]),
            Throws.TypeOf<GraphException>().With.Message.Contains("65536").And.Message.Contains("at most 65535"));
    }

    private static void Compile(Operator op, Shape shape)
    {
        using var device = new CudaDevice(new IdleDriver(new KernelTarget(IsMachineCode: false, 80)), new KernelLister(new KernelList()),
            Precision.Fp32, specialize: false);
        var graph = new Graph();
        graph.Output("y", graph.Apply(op, [graph.Input("x", shape)]));
        device.Compile(graph).Dispose();
    }
}
