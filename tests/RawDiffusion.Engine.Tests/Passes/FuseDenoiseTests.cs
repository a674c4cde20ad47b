using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FuseDenoiseTests
{
    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(g => FuseDenoise.Apply(FuseOnLoad.Apply(g)));

    [Test]
    public void Mean_convolution_and_step_become_one([Values] bool clip)
    {
        Graph g = Tail(out Value next, clip, kernel: 3);
        g.Output("y", next);
        Graph fused = PassContract.Check(g, FuseDenoise.Apply);
        Assert.That(PassContract.Operators(fused), Is.EqualTo(new[] { "DenoiseAverageStep" }));
        Assert.That(((DenoiseAverageStep)fused.Nodes[0].Operator).Clip, Is.EqualTo(clip));
    }

    [Test]
    public void Another_kernel_is_left_alone()
    {
        Graph g = Tail(out Value next, true, kernel: 1);
        g.Output("y", next);
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseDenoise.Apply)),
            Is.EqualTo(new[] { "Conv2d", "DenoiseStep", "SumRows" }));
    }

    [Test]
    public void A_mean_or_prediction_that_is_an_output_is_written([Values("Conv2d", "SumRows")] string read)
    {
        Graph g = Tail(out Value next, true, kernel: 3);
        g.Output("y", next);
        g.Output("z", g.Nodes.Single(n => n.Operator.Name == read).Output);
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseDenoise.Apply)),
            Is.EqualTo(new[] { "Conv2d", "DenoiseStep", "SumRows" }));
    }

    private static Graph Tail(out Value next, bool clip, int kernel)
    {
        var g = new Graph();
        Value mean = g.SumRows(g.Input("h", [6, 5, 4, 20]), RowGroups.Mean(2, 3));
        Value prediction = g.Conv2d(mean, g.Constant([3, kernel, kernel, 20]), g.Constant([3]), 1, kernel / 2);
        next = g.DenoiseStep(prediction, g.Input("x", [2, 5, 4, 3]), g.Constant([4, 5]), g.State("step", [1], DType.I32), clip: clip);
        return g;
    }
}
