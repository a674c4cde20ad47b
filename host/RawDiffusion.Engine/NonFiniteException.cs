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
}
