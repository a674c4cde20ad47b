using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Moves a node to just before the first node that reads its output, where what it reads itself is in memory until then anyway.
/// In a training step a convolution reads through its norm (<see cref="FuseOnLoad"/>), and only the gradient by its weight reads the
/// normalised tensor: that is then computed again, late, instead of being kept all through the forward pass. Runs after the fusions.
/// </summary>
public static class Recompute
{
    /// <summary>A graph that computes the same, bit for bit, in another order.</summary>
    public static Graph Apply(Graph graph)
    {
        // From the last node to the first, so that readers are placed before what they read.
        var order = new List<Node>();
        for (int i = graph.Nodes.Count - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            int reader = order.FindIndex(n => n.Inputs.Contains(node.Output));
            bool late = reader > 0 && node.Operator is not View
                && node.Inputs.All(input => input is null || LivesUntil(input, order, reader));
            order.Insert(late ? reader : 0, node);
        }
        return GraphRewriter.Rewrite(graph, (_, _) => null, order: order);
    }

    private static bool LivesUntil(Value value, List<Node> order, int position)
    {
        return value.Viewed.Root.Kind != ValueKind.Result || order.FindIndex(position, n => n.Inputs.Contains(value)) >= 0;
    }
}
