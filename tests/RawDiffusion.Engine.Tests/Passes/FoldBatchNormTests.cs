using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FoldBatchNormTests
{
    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(FoldBatchNorm.Apply);

    [Test]
    public void It_vanishes_into_the_convolution([Values] bool bias)
    {
        var g = new Graph();
        g.Output("y", Norm(g, Conv(g, g.Input("x", [2, 5, 3, 6]), bias)));
        Assert.That(PassContract.Operators(PassContract.Check(g, FoldBatchNorm.Apply)), Is.EqualTo(new[] { "Conv2d" }));
    }

    [Test]
    public void A_weight_that_two_convolutions_share_is_scaled_for_one()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 5, 3, 6]), w = g.Constant([7, 3, 3, 6]);
        g.Output("y", g.Add(Norm(g, g.Conv2d(x, w, null, 1, 1)), g.Conv2d(x, w, null, 1, 1)));
        Assert.That(PassContract.Operators(PassContract.Check(g, FoldBatchNorm.Apply)), Is.EqualTo(new[] { "Add", "Conv2d", "Conv2d" }));
    }

    [Test]
    public void A_convolution_with_another_reader_keeps_its_result()
    {
        var g = new Graph();
        Value conv = Conv(g, g.Input("x", [1, 4, 4, 3]), true);
        g.Output("y", g.Add(conv, Norm(g, conv)));
        Assert.That(PassContract.Operators(PassContract.Check(g, FoldBatchNorm.Apply)), Has.Member("BatchNorm"));
    }

    [Test]
    public void Statistics_that_the_caller_writes_are_not_folded()
    {
        var g = new Graph();
        Value x = Conv(g, g.Input("x", [1, 4, 4, 3]), true);
        g.Output("y", g.BatchNorm(x, g.Input("gamma", [7]), g.Constant([7]), g.Constant([7]), g.Constant([7], 2)));
        Assert.That(PassContract.Operators(PassContract.Check(g, FoldBatchNorm.Apply)), Has.Member("BatchNorm"));
    }

    [Test]
    public void What_the_convolution_added_or_activated_is_not_scaled_away()
    {
        var g = new Graph();
        Value x = g.Input("x", [1, 4, 4, 3]), w = g.Constant([7, 1, 1, 3]);
        Value activated = g.Apply(new Conv2d(1, 0) { OnStore = Activation.Relu }, [x, w, null, null, null, null, null]);
        Value added = g.Apply(new Conv2d(1, 0), [x, w, null, null, null, g.Input("e", [1, 7]), g.Input("r", [1, 4, 4, 7])]);
        g.Output("y", g.Add(Norm(g, activated), Norm(g, added)));
        PassContract.Check(g, FoldBatchNorm.Apply);
    }

    private static Value Conv(Graph g, Value x, bool bias) =>
        g.Conv2d(x, g.Constant([7, 3, 3, x.Shape[3]]), bias ? g.Constant([7]) : null, 1, 1);

    private static Value Norm(Graph g, Value x) => g.BatchNorm(x, g.Constant([7], 1), g.Constant([7]), g.Constant([7]), g.Constant([7], 2));
}
