namespace RawDiffusion.Engine.Passes;

/// <summary>Copies a graph node by node and lets a pass put something else in a node's place.</summary>
internal sealed class GraphRewriter
{
    private readonly Value?[] map;
    private readonly int[] uses;

    private GraphRewriter(Graph source)
    {
        map = new Value?[source.Values.Count];
        uses = new int[source.Values.Count];
        foreach (Node node in source.Nodes)
        {
            foreach (Value? input in node.Inputs)
                if (input is not null) uses[input.Id]++;
        }
        foreach ((_, Value next) in source.Updates) uses[next.Id]++;
        foreach (Value output in source.Outputs.Values) uses[output.Id]++;
    }

    /// <summary>The graph being written.</summary>
    public Graph Target { get; } = new();

    /// <summary>Rewrites a graph.</summary>
    /// <param name="source">Graph to copy.</param>
    /// <param name="replace">Gives the value that takes a node's place in the target, or null to copy the node.</param>
    /// <param name="keep">Nodes to keep; others are dropped, and nothing kept may read them.</param>
    /// <param name="order">All nodes in another order, each after those that it reads; the source's where null.</param>
    public static Graph Rewrite(Graph source, Func<GraphRewriter, Node, Value?> replace, Predicate<Node>? keep = null,
        IReadOnlyList<Node>? order = null)
    {
        var rewriter = new GraphRewriter(source);
        foreach (Value input in source.Inputs.Values) rewriter.Map(input);
        foreach (Node node in order ?? source.Nodes)
        {
            if (keep is not null && !keep(node)) continue;
            rewriter.map[node.Output.Id] = replace(rewriter, node) ?? rewriter.Copy(node);
        }
        foreach ((Value state, Value next) in source.Updates) rewriter.Target.Assign(rewriter.Map(state), rewriter.Map(next));
        foreach ((string name, Value output) in source.Outputs) rewriter.Target.Output(name, rewriter.Map(output));
        return rewriter.Target;
    }

    /// <summary>What stands in the target for a value of the source.</summary>
    public Value Map(Value value) => map[value.Id] ??= value.Kind switch
    {
        ValueKind.Input => Target.Input(value.Name, value.Shape, value.DType),
        ValueKind.State => Target.State(value.Name, value.Shape, value.DType, value.Constant),
        ValueKind.Constant => Target.Constant(value.Name, value.Shape, value.Constant!),
        _ => throw new InvalidOperationException($"{value} is read before it is computed"),
    };

    /// <summary>All inputs of a node, in the target.</summary>
    public Value?[] Inputs(Node node) => [.. node.Inputs.Select(i => i is null ? null : Map(i))];

    /// <summary>Whether a node's input is read by that node alone, so that its producer may be merged into the node.</summary>
    public bool IsReadOnce(Node node, int position) => uses[node.Inputs[position]!.Id] == 1;

    /// <summary>Appends the node unchanged.</summary>
    public Value Copy(Node node) => Target.Apply(node.Operator, Inputs(node), node.Name);
}
