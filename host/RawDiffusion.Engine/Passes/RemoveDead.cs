namespace RawDiffusion.Engine.Passes;

/// <summary>Drops nodes that no output and no state update depends on.</summary>
public static class RemoveDead
{
    /// <summary>A graph with the same outputs and updates.</summary>
    public static Graph Apply(Graph graph)
    {
        bool[] live = new bool[graph.Values.Count];
        foreach (Value output in graph.Outputs.Values) live[output.Id] = true;
        foreach ((_, Value next) in graph.Updates) live[next.Id] = true;
        for (int i = graph.Nodes.Count - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            if (!live[node.Output.Id]) continue;
            foreach (Value? input in node.Inputs)
                if (input is not null) live[input.Id] = true;
        }
        return GraphRewriter.Rewrite(graph, (_, _) => null, node => live[node.Output.Id]);
    }
}
