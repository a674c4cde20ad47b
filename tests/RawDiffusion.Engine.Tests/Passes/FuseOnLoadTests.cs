using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FuseOnLoadTests
{
    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(FuseOnLoad.Apply);

    [Test]
    public void All_passes_together_compute_the_same() => PassContract.CheckNetworks(g => g, new CompileOptions());

    [Test]
    public void All_fusions_together_compute_the_same() => PassContract.CheckNetworks(g => g, PassContract.Plain with { Fuse = true });

    [Test]
    public void A_convolution_reads_through_upsampling_norm_and_concatenation()
    {
        var g = new Graph();
        Value x = g.Concat(g.Input("x", [2, 3, 5, 6]), g.Input("skip", [2, 3, 5, 10]));
        Value h = g.UpsampleNearest(Norm(g, x, Activation.Silu, g.Input("film", [2, 32])));
        g.Output("y", g.Conv2d(h, g.Constant([8, 3, 3, 16]), null, 1, 1));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnLoad.Apply)), Is.EqualTo(new[] { "Conv2d", "GroupNormAffine" }));
    }

    [Test]
    public void A_concatenation_of_normalised_parts_is_read_as_it_is()
    {
        var g = new Graph();
        Value x = g.Concat(Norm(g, g.Input("x", [1, 4, 4, 8]), Activation.Silu), g.Input("skip", [1, 4, 4, 3]));
        g.Output("y", g.Conv2d(x, g.Constant([5, 1, 1, 11]), null));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnLoad.Apply)), Is.EqualTo(new[] { "Conv2d", "GroupNorm" }));
    }

    /// <summary>The norm of an upsampled image is not the upsampled norm: padding sees no upsampling twice.</summary>
    [Test]
    public void A_norm_after_upsampling_keeps_its_order()
    {
        var g = new Graph();
        Value x = Norm(g, g.UpsampleNearest(g.Input("x", [1, 3, 3, 8])), Activation.Silu);
        g.Output("y", g.Conv2d(g.UpsampleNearest(x), g.Constant([5, 3, 3, 8]), null, 1, 1));
        PassContract.Check(g, FuseOnLoad.Apply);
    }

    [Test]
    public void A_norm_of_a_norm_is_fused_once()
    {
        var g = new Graph();
        Value x = Norm(g, Norm(g, g.Input("x", [1, 3, 3, 8]), Activation.Relu), Activation.Silu);
        g.Output("y", g.Conv2d(x, g.Constant([5, 3, 3, 8]), null, 1, 1));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnLoad.Apply)),
            Is.EqualTo(new[] { "Conv2d", "GroupNorm", "GroupNormAffine" }));
    }

    [Test]
    public void Pools_and_means_read_through_a_norm_and_share_its_statistics()
    {
        var g = new Graph();
        Value x = Norm(g, g.Input("x", [3, 4, 4, 8]), Activation.Silu);
        Value pool = g.AvgPool2d(x), mean = g.AvgPool2d(g.SumRows(x, new RowGroups([3], [1, -1, 0.5f])));
        g.Output("y", g.Add(g.SumRows(pool, new RowGroups([3], [1, 1, 1])), mean));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnLoad.Apply)),
            Is.EqualTo(new[] { "Add", "AvgPool2d", "AvgPool2d", "GroupNormAffine", "SumRows", "SumRows" }));
    }

    [Test]
    public void A_norm_that_is_an_output_is_still_written()
    {
        var g = new Graph();
        Value x = Norm(g, g.Input("x", [1, 4, 4, 8]), Activation.Silu);
        g.Output("y", x);
        g.Output("z", g.Conv2d(x, g.Constant([5, 3, 3, 8]), null, 1, 1));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnLoad.Apply)),
            Is.EqualTo(new[] { "Conv2d", "GroupNorm", "GroupNormAffine" }));
    }

    private static Value Norm(Graph g, Value x, Activation activation, Value? film = null) =>
        g.GroupNorm(x, g.Constant([x.Shape[3]], 1), g.Constant([x.Shape[3]]), 4, activation, film);
}
