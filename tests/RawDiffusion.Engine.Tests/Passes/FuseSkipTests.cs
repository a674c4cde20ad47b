using RawDiffusion.Cpu;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FuseSkipTests
{
    [Test]
    public void A_residual_block_is_one_convolution_after_the_other()
    {
        Graph fused = FuseSkip.Apply(FuseOnStore.Apply(FuseOnLoad.Apply(Block(skipKernel: 1))));
        Assert.That(PassContract.Operators(fused), Is.EqualTo(new[] { "Conv2d" }));
        Node node = fused.Nodes[0];
        Assert.That(node.Inputs.Select(i => i?.Name), Is.EqualTo(
            new[] { "h", "w", "Conv2d.bias", null, null, null, null, "s", "s2", "skip.w" }));
        float[] bias = new float[5];
        node.Inputs[Conv2d.Bias]!.Constant!(bias);
        Assert.That(bias, Is.EqualTo(new[] { 11f, 22, 33, 44, 55 }));
        Assert.That(node.Cost.Flops, Is.EqualTo(2.0 * 2 * 4 * 6 * 5 * (9 * 3 + 7 + 2)));
    }

    [Test]
    public void A_skip_that_is_no_plain_1x1_stays([Values("kernel", "activation", "readers")] string obstacle)
    {
        Graph g = Block(obstacle == "kernel" ? 3 : 1, obstacle == "activation", obstacle == "readers");
        Graph fused = FuseSkip.Apply(FuseOnStore.Apply(FuseOnLoad.Apply(g)));
        Assert.That(PassContract.Operators(fused), Is.EqualTo(new[] { "Conv2d", "Conv2d" }));
    }

    [Test]
    public void Wrong_shapes_are_refused_with_their_names()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 4, 6, 3]), w = g.Input("w", [5, 3, 3, 3]), s = g.Input("s", [2, 4, 6, 7]);
        Value?[] With(Value skip, Value weight) => [x, w, null, null, null, null, null, skip, null, weight];
        Assert.That(() => g.Apply(new Conv2d(1, 1), With(s, g.Input("few", [5, 1, 1, 6]))),
            Throws.TypeOf<GraphException>().With.Message.Contains("few [5, 1, 1, 6]"));
        Assert.That(() => g.Apply(new Conv2d(1, 1), With(g.Input("flat", [2, 4, 5, 7]), g.Input("sw", [5, 1, 1, 7]))),
            Throws.TypeOf<GraphException>().With.Message.Contains("flat [2, 4, 5, 7]"));
    }

    /// <summary>A device that does not ask for the pass must not compute half of the result.</summary>
    [Test]
    public void The_CPU_device_refuses_what_it_does_not_compute()
    {
        using var device = new CpuDevice(1);
        Graph fused = FuseSkip.Apply(FuseOnStore.Apply(FuseOnLoad.Apply(Block(skipKernel: 1))));
        Assert.That(() => device.Compile(fused), Throws.TypeOf<GraphException>().With.Message.Contains("FuseSkip"));
    }

    private static Graph Block(int skipKernel, bool activation = false, bool readers = false)
    {
        var g = new Graph();
        Value h = g.Conv2d(g.Input("h", [2, 4, 6, 3]), g.Constant("w", [5, 3, 3, 3], new float[135]),
            g.Constant("b", [5], [1, 2, 3, 4, 5]), padding: 1);
        Value joined = g.Concat(g.Input("s", [2, 4, 6, 7]), g.Input("s2", [2, 4, 6, 2]));
        Value skip = g.Conv2d(joined, g.Constant("skip.w", [5, skipKernel, skipKernel, 9], new float[45 * skipKernel * skipKernel]),
            g.Constant("skip.b", [5], [10, 20, 30, 40, 50]), padding: skipKernel / 2);
        if (activation) skip = g.Silu(skip);
        g.Output("y", g.Add(skip, h));
        if (readers) g.Output("skip", skip);
        return g;
    }
}
