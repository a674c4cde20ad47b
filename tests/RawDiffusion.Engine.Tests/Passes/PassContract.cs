using RawDiffusion.Engine.Tests.Contract;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Passes;

/// <summary>A pass changes how a graph is computed, never what.</summary>
internal static class PassContract
{
    /// <summary>No pass at all: each node as it was written, in memory of its own.</summary>
    public static CompileOptions Plain { get; } = new()
    {
        FoldConstants = false,
        ShareAcrossRows = false,
        Fuse = false,
        ReuseMemory = false
    };

    public static IDevice Device => TestDevices.OneOfEach[0].Device;

    /// <summary>Random networks with the pass compute what they compute without.</summary>
    public static void CheckNetworks(Func<Graph, Graph> pass, CompileOptions? options = null, int count = 25)
    {
        for (int seed = 0; seed < count; seed++)
        {
            var network = new RandomNetwork(seed);
            Dictionary<string, float[]> expected = network.Run(Device, network.Graph, Plain);
            Graph passed = pass(network.Graph);
            Assert.That(passed.Outputs.Keys, Is.EquivalentTo(network.Graph.Outputs.Keys));
            Assert.That(passed.Inputs.Keys, Is.EquivalentTo(network.Graph.Inputs.Keys));
            foreach ((string name, float[] found) in network.Run(Device, passed, options ?? Plain))
            {
                Comparer.RequireClose($"network {seed}, {name}", [expected[name].Length], expected[name], [found.Length], found,
                    Tolerances.Of("Pass", Precision.Float32));
            }
        }
    }

    /// <summary>A hand-made graph with one output y of one input x computes the same with the pass; gives the new graph.</summary>
    public static Graph Check(Graph graph, Func<Graph, Graph> pass)
    {
        Graph passed = pass(graph);
        float[] expected = Evaluate(graph), found = Evaluate(passed);
        Comparer.RequireClose("y", [expected.Length], expected, [found.Length], found, Tolerances.Of("Pass", Precision.Float32));
        return passed;
    }

    /// <summary>Names of the operators of a graph, sorted.</summary>
    public static string[] Operators(Graph graph) => [.. graph.Nodes.Select(n => n.Operator.Name).Order(StringComparer.Ordinal)];

    /// <summary>A constant of pseudo-random elements.</summary>
    public static Value Constant(this Graph g, Shape shape, double mean = 0)
    {
        var random = new Random(g.Values.Count);
        return g.Constant($"c{g.Values.Count}", shape,
            [.. Enumerable.Range(0, (int)shape.Count).Select(_ => (float)(mean + random.NextDouble() - 0.5))]);
    }

    private static float[] Evaluate(Graph graph)
    {
        using IExecutable executable = Device.Compile(graph, Plain);
        foreach (Value input in graph.Inputs.Values.Where(v => v.DType == DType.F32))
        {
            var random = new Random(input.Name.Length);
            executable.Write(input.Name,
                [.. Enumerable.Range(0, (int)input.Shape.Count).Select(_ => (float)(2 * random.NextDouble() - 1))]);
        }
        executable.Run();
        float[] y = new float[graph.Outputs["y"].Shape.Count];
        executable.Read("y", y);
        return y;
    }
}
