using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class RecomputeTests
{
    /// <summary>
    /// The normalised tensor that only the gradient by the weight reads is computed after the forward pass, and less is kept.
    /// </summary>
    [Test]
    public void What_only_gradients_read_comes_late()
    {
        Graph plain = FuseOnLoad.Apply(Block(4));
        Graph late = Recompute.Apply(plain);
        Assert.That(late.Nodes.Select(n => n.Name).Order(StringComparer.Ordinal),
            Is.EqualTo(plain.Nodes.Select(n => n.Name).Order(StringComparer.Ordinal)));
        int Norm(Graph g) => g.Nodes.Select((n, i) => (n, i)).Last(p => p.n.Operator is GroupNorm).i;
        int Loss(Graph g) => g.Nodes.Select((n, i) => (n, i)).Single(p => p.n.Operator is MseLoss).i;
        Assert.That(Norm(plain), Is.LessThan(Loss(plain)));
        Assert.That(Norm(late), Is.GreaterThan(Loss(late)));
        Assert.That(MemoryPlan.Of(late).ArenaBytes, Is.LessThan(MemoryPlan.Of(plain).ArenaBytes));
    }

    /// <summary>Not one bit changes.</summary>
    [Test]
    public void The_result_is_the_same()
    {
        foreach (TestDevice device in TestDevices.OneOfEach)
        {
            float[] expected = Run(device.Device, false), found = Run(device.Device, true);
            OperatorContract.RequireSameBits($"recomputed on {device}", expected, found);
        }
    }

    private static float[] Run(IDevice device, bool recompute)
    {
        using IExecutable executable = device.Compile(Block(3), new CompileOptions { Recompute = recompute });
        var random = new Random(5);
        executable.Write("x", [.. Enumerable.Range(0, 2 * 8 * 8 * 16).Select(_ => (float)random.NextDouble() - 0.5f)]);
        foreach (string name in (string[])["w0", "w1", "w2"])
            executable.Write(name, [.. Enumerable.Range(0, 16 * 9 * 16).Select(_ => 0.2f * ((float)random.NextDouble() - 0.5f))]);
        executable.Run();
        var all = new List<float>();
        foreach (string name in (string[])["d w0", "d w1", "d w2"])
        {
            float[] gradient = new float[16 * 9 * 16];
            executable.Read(name, gradient);
            all.AddRange(gradient);
        }
        return [.. all];
    }

    // Norm, SiLU and convolution several times, and the gradients by the weights.
    private static Graph Block(int depth)
    {
        var g = new Graph();
        Value h = g.Input("x", [2, 8, 8, 16]);
        var weights = new List<Value>();
        for (int i = 0; i < depth; i++)
        {
            Value gamma = g.Constant($"gamma{i}", [16], d => d.Fill(1)), beta = g.Constant($"beta{i}", [16], d => d.Clear());
            weights.Add(g.Input($"w{i}", [16, 3, 3, 16]));
            h = g.Conv2d(g.GroupNorm(h, gamma, beta, 4, Activation.Silu, name: $"norm{i}"), weights[i], null, padding: 1, name: $"conv{i}");
        }
        Value loss = g.MseLoss(h, g.Constant("target", h.Shape, d => d.Fill(0.5f)));
        IReadOnlyList<Value> gradients = Engine.Gradients.Of(g, loss, weights);
        g.Output("loss", loss);
        for (int i = 0; i < depth; i++) g.Output($"d w{i}", gradients[i]);
        return g;
    }
}
