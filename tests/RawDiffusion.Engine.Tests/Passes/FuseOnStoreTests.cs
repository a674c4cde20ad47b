using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FuseOnStoreTests
{
    private static readonly string[] OneConvolution = ["Conv2d"];

    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(FuseOnStore.Apply);

    [Test]
    public void A_convolution_adds_embedding_and_upsampled_residual_and_activates([Values] bool residualFirst)
    {
        var g = new Graph();
        Value h = g.AddEmbedding(Conv(g, g.Input("x", [2, 4, 6, 3])), g.Input("e", [2, 5]));
        Value skip = g.UpsampleNearest(g.Input("skip", [2, 2, 3, 5]));
        g.Output("y", g.Silu(residualFirst ? g.Add(skip, h) : g.Add(h, skip)));
        Graph fused = PassContract.Check(g, FuseOnStore.Apply);
        Assert.That(PassContract.Operators(fused), Is.EqualTo(OneConvolution));
        var conv = (Conv2d)fused.Nodes[0].Operator;
        Assert.That((conv.UpsampleResidual, conv.OnStore), Is.EqualTo((true, Activation.Silu)));
    }

    [Test]
    public void The_sum_of_two_convolutions_fuses_into_one_of_them()
    {
        var g = new Graph();
        Value x = g.Input("x", [1, 3, 3, 3]);
        g.Output("y", g.Add(Conv(g, x), Conv(g, x)));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnStore.Apply)), Is.EqualTo(new[] { "Conv2d", "Conv2d" }));
    }

    [Test]
    public void Nothing_is_added_after_the_activation()
    {
        var g = new Graph();
        Value x = g.Input("x", [1, 3, 3, 3]);
        g.Output("y", g.Silu(g.Relu(g.AddEmbedding(g.Silu(Conv(g, x)), g.Input("e", [1, 5])))));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnStore.Apply)),
            Is.EqualTo(new[] { "Activate", "Activate", "AddEmbedding", "Conv2d" }));
    }

    [Test]
    public void A_second_residual_and_an_embedding_after_a_residual_stay()
    {
        var g = new Graph();
        Value h = g.Add(Conv(g, g.Input("x", [1, 3, 3, 3])), g.Input("r", [1, 3, 3, 5]));
        g.Output("y", g.AddEmbedding(g.Add(h, g.Input("rr", [1, 3, 3, 5])), g.Input("e", [1, 5])));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnStore.Apply)),
            Is.EqualTo(new[] { "Add", "AddEmbedding", "Conv2d" }));
    }

    /// <summary>Who else reads the plain result must find it.</summary>
    [Test]
    public void A_result_with_another_reader_is_not_changed()
    {
        var g = new Graph();
        Value conv = Conv(g, g.Input("x", [1, 3, 3, 3]));
        Value linear = g.Linear(g.Input("z", [9, 2]), g.Constant([5, 2]), null);
        Value sum = g.Add(g.Silu(conv), g.Add(conv, conv));
        g.Output("y", g.Add(sum, g.Reshape(g.Add(linear, g.Silu(linear)), [1, 3, 3, 5])));
        Graph fused = PassContract.Check(g, FuseOnStore.Apply);
        Assert.That(fused.Nodes.Count(n => n.Operator is Activate), Is.EqualTo(2));
    }

    [Test]
    public void A_linear_layer_activates_and_a_repetition_adds_its_embedding()
    {
        var g = new Graph();
        Value e = g.Relu(g.Linear(g.Input("z", [6, 4]), g.Constant([5, 4]), null));
        g.Output("y", g.AddEmbedding(g.RepeatRows(g.Input("x", [2, 3, 3, 5]), RowGroups.Mean(2, 3)), e));
        Assert.That(PassContract.Operators(PassContract.Check(g, FuseOnStore.Apply)), Is.EqualTo(new[] { "Linear", "RepeatRows" }));
    }

    private static Value Conv(Graph g, Value x) => g.Conv2d(x, g.Constant([5, 3, 3, x.Shape[3]]), g.Constant([5]), 1, 1);
}
