using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class PipelineTests
{
    /// <summary>A node that <see cref="Recompute"/> moves behind the loss is a new node: the guard has to watch that one.</summary>
    [Test]
    public void A_guard_names_the_recomputed_node()
    {
        var options = new CompileOptions { Guard = true, Recompute = true };
        Graph late = Recompute.Apply(Step());
        Assert.That(Index(late, "late"), Is.GreaterThan(Index(late, "loss")));
        foreach (TestDevice device in TestDevices.OneOfEach)
        {
            using IExecutable executable = device.Device.Compile(Step(), options);
            executable.Write("x", [.. Enumerable.Repeat(0.5f, 36)]);
            executable.Write("bad", [.. Enumerable.Range(0, 36).Select(i => i == 7 ? float.NaN : 1)]);
            NonFiniteException? e = Assert.Throws<NonFiniteException>(() => executable.Run(), device.Name);
            Assert.That(e!.Message, Does.StartWith("late (Activate) produced NaN at element 7 "), device.Name);
        }
    }

    [Test]
    public void All_that_is_watched_is_in_the_graph()
    {
        var traits = new DeviceTraits { FuseSkip = true };
        foreach (bool recompute in (bool[])[false, true])
        {
            (Graph graph, IReadOnlySet<Node>? watched) = Pipeline.Apply(
                Step(), new CompileOptions { Guard = true, Recompute = recompute }, TestDevices.All[0].Device, traits);
            Assert.That(watched, Is.EquivalentTo(graph.Nodes));
        }
        Assert.That(Pipeline.Apply(Step(), new CompileOptions(), TestDevices.All[0].Device, traits).Watched, Is.Null);
    }

    private static int Index(Graph graph, string name) => graph.Nodes.Select((n, i) => (n, i)).Single(p => p.n.Name == name).i;

    // A convolution, its loss and gradient; what is read after them only is computed first.
    private static Graph Step()
    {
        var g = new Graph();
        Value late = g.Silu(g.Input("bad", [1, 3, 3, 4]), "late");
        Value weight = g.State("weight", [4, 3, 3, 4], initial: d => d.Fill(0.1f));
        Value y = g.Conv2d(g.Input("x", [1, 3, 3, 4]), weight, null, padding: 1, name: "conv");
        Value loss = g.MseLoss(y, g.Constant("target", y.Shape, d => d.Fill(0.5f)), name: "loss");
        g.Output("gradient", Engine.Gradients.Of(g, loss, [weight])[0]);
        g.Output("y", g.Add(y, late, "sum"));
        return g;
    }
}
