namespace RawDiffusion.Engine.Passes;

/// <summary>Appends a copy of a graph's nodes to another graph, reading other values for its inputs and states.</summary>
public static class Inline
{
    /// <summary>Copies.</summary>
    /// <param name="target">Graph to append to.</param>
    /// <param name="source">Graph to copy; its outputs and updates are not declared in the target.</param>
    /// <param name="arguments">What the source's inputs and states are in the target, by name.</param>
    /// <returns>Maps a value that a source's node computes, or an input or state, to its copy.</returns>
    /// <exception cref="GraphException">An input or a state has no argument.</exception>
    public static Func<Value, Value> Into(Graph target, Graph source, IReadOnlyDictionary<string, Value> arguments)
    {
        var map = new Dictionary<Value, Value>();
        Value Map(Value value)
        {
            if (map.TryGetValue(value, out Value? copy)) return copy;
            return map[value] = value.Kind == ValueKind.Constant
                ? target.Constant(value.Name, value.Shape, value.Constant!)
                : arguments.TryGetValue(value.Name, out Value? argument) ? argument
                : throw new GraphException($"the copied graph's {value} has no argument");
        }
        foreach (Node node in source.Nodes)
            map[node.Output] = target.Apply(node.Operator, [.. node.Inputs.Select(i => i is null ? null : Map(i))], node.Name);
        return Map;
    }
}
