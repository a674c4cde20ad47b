using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class RemoveDeadTests
{
    [Test]
    public void Networks_compute_the_same() => PassContract.CheckNetworks(RemoveDead.Apply);

    [Test]
    public void Only_what_outputs_and_updates_need_stays()
    {
        var g = new Graph();
        Value x = g.Input("x", [3]), s = g.State("s", [3]);
        g.Input("never read", [4]);
        g.Relu(g.Silu(x, "dead"), "dead too");
        g.Output("y", g.Add(x, x, "output"));
        g.Assign(s, g.Silu(s, "update"));
        Graph live = PassContract.Check(g, RemoveDead.Apply);
        Assert.That(live.Nodes.Select(n => n.Name), Is.EqualTo(new[] { "output", "update" }));
        Assert.That(live.Inputs.Keys, Is.EqualTo(new[] { "x", "s", "never read" }));
        Assert.That(live.Updates, Has.Count.EqualTo(1));
    }
}
