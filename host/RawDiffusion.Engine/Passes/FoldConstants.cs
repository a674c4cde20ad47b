namespace RawDiffusion.Engine.Passes;

/// <summary>Computes nodes whose inputs are all constants when the graph is compiled, on the compiling device itself.</summary>
public static class FoldConstants
{
    /// <summary>A graph in which what depends on constants alone is a constant.</summary>
    /// <param name="graph">Graph to fold.</param>
    /// <param name="device">Evaluates the constant part, once, at the first read of any of its results.</param>
    public static Graph Apply(Graph graph, IDevice device)
    {
        bool[] constant = new bool[graph.Values.Count];
        foreach (Value value in graph.Values)
        {
            constant[value.Id] = value.Kind == ValueKind.Constant
                || value.Producer is { } p && p.Inputs.All(i => i is null || constant[i.Id]);
        }
        bool Folds(Node node) => constant[node.Output.Id];
        if (!graph.Nodes.Any(Folds)) return graph;

        // Only what a remaining node, an update or an output reads has to be kept.
        var wanted = new HashSet<Value>(graph.Nodes.Where(n => !Folds(n)).SelectMany(n => n.Inputs).OfType<Value>());
        wanted.UnionWith(graph.Outputs.Values);
        wanted.UnionWith(graph.Updates.Select(u => u.Next));
        wanted.RemoveWhere(v => v.Kind != ValueKind.Result || !constant[v.Id]);

        var results = new Lazy<Dictionary<int, float[]>>(() => Evaluate(graph, Folds, wanted, device));
        return RemoveDead.Apply(GraphRewriter.Rewrite(graph, (rewriter, node) =>
            wanted.Contains(node.Output)
                ? rewriter.Target.Constant(node.Output.Name, node.Output.Shape, d => results.Value[node.Output.Id].CopyTo(d))
                : null));
    }

    private static Dictionary<int, float[]> Evaluate(Graph graph, Predicate<Node> folds, HashSet<Value> wanted, IDevice device)
    {
        var target = new Graph();
        var map = new Dictionary<Value, Value>();
        foreach (Node node in graph.Nodes.Where(n => folds(n)))
        {
            Value?[] inputs = [.. node.Inputs.Select(i => i is null ? null : map.TryGetValue(i, out Value? m) ? m
                : map[i] = target.Constant(i.Name, i.Shape, i.Constant!))];
            map[node.Output] = target.Apply(node.Operator, inputs, node.Name);
        }
        foreach (Value value in wanted) target.Output(value.Id.ToString(), map[value]);
        using IExecutable executable = device.Compile(
            RemoveDead.Apply(target), new CompileOptions { FoldConstants = false, RunsOnce = true });
        executable.Run();
        var results = new Dictionary<int, float[]>();
        foreach (Value value in wanted)
        {
            float[] data = new float[value.Shape.Count];
            executable.Read(value.Id.ToString(), data);
            results.Add(value.Id, data);
        }
        return results;
    }
}
