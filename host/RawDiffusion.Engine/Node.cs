namespace RawDiffusion.Engine;

/// <summary>One application of an operator in a graph.</summary>
public sealed class Node
{
    internal Node(string name, Operator op, IReadOnlyList<Value?> inputs)
    {
        Name = name;
        Operator = op;
        Inputs = inputs;
    }

    /// <summary>The module it belongs to and its operator: <c>input_blocks.1.0.in_layers.2</c>.</summary>
    public string Name { get; }

    /// <summary>Operator with its attributes.</summary>
    public Operator Operator { get; }

    /// <summary>Inputs by the operator's positions; null where an optional input is absent.</summary>
    public IReadOnlyList<Value?> Inputs { get; }

    /// <summary>What it computes.</summary>
    public Value Output { get; internal set; } = null!;

    /// <summary>Arithmetic and traffic of one execution.</summary>
    public Cost Cost => Operator.Cost(Inputs, Output.Shape);

    /// <summary>Input at a position that must be present.</summary>
    public Value Input(int position) =>
        Inputs[position] ?? throw new GraphException($"{Name}: input {position} is absent");

    /// <inheritdoc/>
    public override string ToString() => $"{Name} = {Operator}({string.Join(", ", Inputs)}) -> {Output.Shape}";
}
