using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Moves sums over processes (<see cref="AllReduce"/>), and the packing and adding up of gradients before them, to where what
/// they read is complete, so that they go on beside the rest of the backward pass. The order is a function of the graph: all
/// processes start the same sums in the same order.
/// </summary>
public static class ReduceEarly
{
    /// <summary>A graph that computes the same in another order.</summary>
    public static Graph Apply(Graph graph)
    {
        var early = new HashSet<Value>();
        foreach (Node node in graph.Nodes)
        {
            if (node.Operator is Pack or AllReduce || node.Operator is Add && node.Inputs.All(i => early.Contains(i!)))
                early.Add(node.Output);
        }

        List<Node> waiting = [.. graph.Nodes.Where(n => early.Contains(n.Output))];
        var done = new HashSet<Value>(graph.Values.Where(v => v.Kind != ValueKind.Result));
        var order = new List<Node>(graph.Nodes.Count);
        void Emit(Node node)
        {
            order.Add(node);
            done.Add(node.Output);
        }
        // In the graph's order, so that what reads another early node comes after it.
        void EmitReady() => waiting.RemoveAll(node =>
        {
            if (!node.Inputs.All(i => i is null || done.Contains(i))) return false;
            Emit(node);
            return true;
        });
        EmitReady();
        foreach (Node node in graph.Nodes)
        {
            if (early.Contains(node.Output)) continue;
            Emit(node);
            EmitReady();
        }
        return GraphRewriter.Rewrite(graph, (_, _) => null, order: order);
    }
}
