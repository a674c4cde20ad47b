using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class FoldConstantsTests
{
    private static Graph Fold(Graph g) => FoldConstants.Apply(g, PassContract.Device);

    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(Fold);

    [Test]
    public void Networks_compute_the_same_when_a_device_folds() =>
        PassContract.CheckNetworks(g => g, PassContract.Plain with { FoldConstants = true });

    [Test]
    public void What_depends_on_constants_alone_becomes_one()
    {
        var g = new Graph();
        Value e = g.Linear(g.Silu(g.TimestepEmbedding(g.Constant([3]), 8)), g.Constant([5, 8]), g.Constant([5]));
        g.Output("y", g.Add(g.Input("x", [5, 3]), g.Reshape(e, [5, 3])));
        Assert.That(PassContract.Operators(PassContract.Check(g, Fold)), Is.EqualTo(new[] { "Add" }));
    }

    [Test]
    public void An_output_and_a_next_state_can_be_constant()
    {
        var g = new Graph();
        g.Output("y", g.Silu(g.Constant([7])));
        g.Assign(g.State("s", [7]), g.Relu(g.Constant([7])));
        Assert.That(PassContract.Check(g, Fold).Nodes, Is.Empty);
    }

    [Test]
    public void A_graph_without_constant_parts_stays_as_it_is()
    {
        var g = new Graph();
        g.Output("y", g.Silu(g.Input("x", [3])));
        Assert.That(Fold(g), Is.SameAs(g));
    }

    /// <summary>The same constant is read once, however many of its results are needed.</summary>
    [Test]
    public void Constants_are_evaluated_once()
    {
        int reads = 0;
        var g = new Graph();
        Value c = g.Silu(g.Constant("c", [3], d =>
        {
            reads++;
            d.Fill(1);
        }));
        Value x = g.Input("x", [3]);
        g.Output("y", g.Add(g.Add(x, c), g.Add(x, g.Relu(c))));
        using IExecutable executable = PassContract.Device.Compile(g);
        executable.Run();
        executable.Run();
        Assert.That(reads, Is.EqualTo(1));
    }
}
