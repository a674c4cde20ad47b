using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine;

/// <summary>Reverse-mode automatic differentiation: gradients as nodes of the same graph.</summary>
public static class Gradients
{
    /// <summary>
    /// Appends the gradients of a loss. Nodes are walked backwards and each operator states its own rule
    /// (<see cref="Operator.Gradient"/>); where a value was read several times, its gradients add up in the order in which the
    /// readers are met.
    /// </summary>
    /// <param name="graph">Graph that holds the loss, before any pass fused its nodes.</param>
    /// <param name="loss">The loss [1].</param>
    /// <param name="parameters">What to differentiate by: states, inputs, or views of them.</param>
    /// <returns>A gradient for each parameter, of its shape.</returns>
    /// <exception cref="GraphException">The loss is no [1], does not depend on a parameter, or a node on the way has no gradient
    /// rule.</exception>
    public static IReadOnlyList<Value> Of(Graph graph, Value loss, IReadOnlyList<Value> parameters)
    {
        if (loss.Shape.Rank != 1 || loss.Shape.Count != 1) throw new GraphException($"the loss must have shape [1], not {loss}");
        var wanted = new HashSet<Value>(parameters);
        bool[] depends = new bool[graph.Values.Count];
        foreach (Value value in graph.Values)
        {
            depends[value.Id] = wanted.Contains(value) || value.Producer is { } producer
                && producer.Inputs.Any(i => i is not null && depends[i.Id]);
        }

        var gradients = new Dictionary<Value, Value> { [loss] = graph.Constant("dloss", [1], [1f]) };
        for (int i = graph.Nodes.Count - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            // Nodes behind this one are those appended here: they have no gradients.
            if (wanted.Contains(node.Output) || !gradients.TryGetValue(node.Output, out Value? dy) || !depends[node.Output.Id]) continue;
            using IDisposable scope = graph.Scope(node.Name + ".grad");
            foreach ((Value input, Value gradient) in OfInputs(graph, node, dy, depends))
                gradients[input] = gradients.TryGetValue(input, out Value? sum) ? graph.Add(sum, gradient) : gradient;
        }
        return [.. parameters.Select(p => gradients.TryGetValue(p, out Value? gradient)
            ? gradient
            : throw new GraphException($"{loss} does not depend on {p}"))];
    }

    private static List<(Value Input, Value Gradient)> OfInputs(Graph graph, Node node, Value dy, bool[] depends)
    {
        bool Wants(int position) => node.Inputs[position] is { } input && depends[input.Id];
        IReadOnlyList<Value?> found;
        try
        {
            found = node.Operator.Gradient(graph, node, dy, Wants);
        }
        catch (GraphException e)
        {
            throw new GraphException($"gradient of {node.Name} ({node.Operator.Name}): {e.Message}");
        }
        var gradients = new List<(Value, Value)>();
        for (int position = 0; position < found.Count; position++)
            if (found[position] is { } gradient && Wants(position)) gradients.Add((node.Input(position), gradient));
        return gradients;
    }
}
