using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Tests;

public sealed class GraphTests
{
    [Test]
    public void A_node_has_all_inputs_of_its_operator()
    {
        var g = new Graph();
        Value x = g.Input("x", [1, 2, 2, 4]), weight = g.Input("w", [4, 1, 1, 4]);
        g.Apply(new Conv2d(1, 0), [x, weight]);
        IReadOnlyList<Value?> inputs = g.Nodes[0].Inputs;
        Assert.That(inputs, Has.Count.EqualTo(Conv2d.SkipWeight + 1));
        Assert.That(inputs.Take(2), Is.EqualTo(new[] { x, weight }));
        Assert.That(inputs.Skip(2), Has.All.Null);
    }

    [Test]
    public void Too_many_inputs_are_refused()
    {
        var g = new Graph();
        Value x = g.Input("x", [4]);
        Assert.That(() => g.Apply(new Activate(Activation.Silu), [x, x], "act"),
            Throws.TypeOf<GraphException>().With.Message.EqualTo("act (Activate): takes 1 input, found 2"));
    }
}
