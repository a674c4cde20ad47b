using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class ShareAcrossRowsTests
{
    private static readonly RowGroups Groups = RowGroups.Mean(2, 3);

    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(ShareAcrossRows.Apply);

    [Test]
    public void Networks_compute_the_same_when_a_device_shares() =>
        PassContract.CheckNetworks(g => g, PassContract.Plain with { ShareAcrossRows = true });

    [Test]
    public void Row_wise_operators_are_computed_before_the_repetition()
    {
        var g = new Graph();
        Value x = g.RepeatRows(g.Input("x", [2, 4, 4, 16]), Groups);
        Value h = g.GroupNorm(x, g.Constant([16]), g.Constant([16]), 4, Activation.Silu);
        h = g.Conv2d(h, g.Constant([48, 3, 3, 16]), g.Constant([48]), 1, 1);
        h = g.Add(g.Attention(h, 2), g.Silu(x));
        h = g.AddEmbedding(h, g.Input("z", [6, 16]));
        g.Output("y", g.Relu(h));
        Graph shared = PassContract.Check(g, ShareAcrossRows.Apply);
        Assert.That(shared.Nodes.Count(n => n.Operator is RepeatRows), Is.EqualTo(1));
        foreach (Node node in shared.Nodes.Where(n => n.Operator is GroupNorm or Conv2d or Attention or Add))
            Assert.That(node.Output.Shape[0], Is.EqualTo(2), node.ToString());
        Assert.That(shared.Nodes.Single(n => n.Operator is AddEmbedding).Output.Shape[0], Is.EqualTo(6));
    }

    [Test]
    public void A_vector_of_timesteps_is_shared()
    {
        var g = new Graph();
        g.Output("y", g.TimestepEmbedding(g.RepeatRows(g.Input("t", [2]), Groups), 8));
        Graph shared = PassContract.Check(g, ShareAcrossRows.Apply);
        Assert.That(shared.Nodes[0].Operator, Is.TypeOf<TimestepEmbedding>());
    }

    /// <summary>A constant that differs from factor to factor is no weight.</summary>
    [Test]
    public void A_constant_with_a_row_for_each_factor_stops_sharing()
    {
        var g = new Graph();
        g.Output("y", g.Add(g.RepeatRows(g.Input("x", [2, 5]), Groups), g.Constant([6, 5])));
        PassContract.Check(g, ShareAcrossRows.Apply);
    }

    /// <summary>As many rows as trajectories, but other rows: the shapes alone would not tell.</summary>
    [Test]
    public void A_constant_with_rows_of_its_own_order_stops_sharing()
    {
        var groups = new RowGroups([2, 0], [0.5f, 0.5f]);
        var g = new Graph();
        Value x = g.RepeatRows(g.Input("x", [2, 3, 3, 5]), groups);
        g.Output("y", g.AddEmbedding(x, g.Constant([2, 5])));
        PassContract.Check(g, ShareAcrossRows.Apply);
    }

    [Test]
    public void Repetitions_of_different_groups_are_not_mixed()
    {
        var g = new Graph();
        Value a = g.RepeatRows(g.Input("a", [2, 5]), new RowGroups([1, 2], [1, 1, 1]));
        Value b = g.RepeatRows(g.Input("b", [2, 5]), new RowGroups([2, 1], [1, 1, 1]));
        g.Output("y", g.Add(a, b));
        PassContract.Check(g, ShareAcrossRows.Apply);
    }
}
