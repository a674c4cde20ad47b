using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine;

/// <summary>A guarded run met the first NaN or infinity; the message names operator and index.</summary>
/// <param name="node">The node that produced it.</param>
/// <param name="index">Position in its output, row-major.</param>
/// <param name="value">What was found there.</param>
public sealed class NonFiniteException(Node node, long index, float value)
    : Exception($"{node.Name} ({node.Operator.Name}) produced {value} at element {index} of its output {node.Output.Shape}")
{
    /// <summary>The node that produced it.</summary>
    public Node Node { get; } = node;

    /// <summary>The nodes whose outputs a guarded run looks at.</summary>
    /// <param name="graph">The graph that runs: after the passes, which make new nodes.</param>
    public static IReadOnlySet<Node> Watched(Graph graph)
    {
        // Infinities of a scaled loss are no reason to stop: the step is skipped, and the scale becomes smaller.
        HashSet<Value> scaled = [.. graph.Nodes.Where(n => n.Operator is LossScale).Select(n => n.Input(LossScale.State))];
        foreach (Node node in graph.Nodes)
            if (node.Operator is not Adam && node.Inputs.Any(i => i is not null && scaled.Contains(i))) scaled.Add(node.Output);
        // A sum that has only started is nobody's to read.
        return graph.Nodes.Where(n => n.Output.DType == DType.F32 && n.Operator is not AllReduce && !scaled.Contains(n.Output)).ToHashSet();
    }

    /// <summary>Requires that all that a node computed is finite.</summary>
    /// <param name="node">The node.</param>
    /// <param name="output">Its output.</param>
    /// <exception cref="NonFiniteException">It is not; names the first element.</exception>
    public static void Require(Node node, ReadOnlySpan<float> output)
    {
        for (int i = 0; i < output.Length; i++)
        {
            // What lies between parameters means nothing.
            if (!float.IsFinite(output[i]) && PlacesOf(node)?.Holds(i) != false) throw new NonFiniteException(node, i, output[i]);
        }
    }

    private static ParameterLayout? PlacesOf(Node node) => node.Operator switch
    {
        Pack pack => pack.Layout,
        Add when node.Input(Add.A).Producer is { } producer => PlacesOf(producer),
        AllReduce when node.Input(AllReduce.X).Producer is { } producer => PlacesOf(producer),
        AllReduceWait when node.Input(AllReduceWait.Sum).Producer is { } producer => PlacesOf(producer),
        _ => null,
    };
}
