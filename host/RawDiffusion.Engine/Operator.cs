namespace RawDiffusion.Engine;

/// <summary>
/// What a node does: a name, its attributes (the record's properties) and the rules that need no device. The
/// operator's kernels live under the same name in each device's project.
/// </summary>
public abstract record Operator
{
    /// <summary>States an operator.</summary>
    /// <param name="arity">Number of inputs, optional ones included.</param>
    protected Operator(int arity) => Arity = arity;

    /// <summary>Number of inputs, optional ones included; an operator has a constant for the position of each.</summary>
    internal int Arity { get; }

    /// <summary>The operator's name, the same in all rooms.</summary>
    public string Name => GetType().Name;

    /// <summary>
    /// Whether row n of the output depends on row n of the inputs alone (dimension 0; inputs without rows, such as
    /// weights, aside). Such a node can be computed before rows are repeated instead of after.
    /// </summary>
    public virtual bool IsRowWise => false;

    /// <summary>
    /// Whether the output is an activation, which a device may store in 16 bits where its precision says so; statistics,
    /// the sampler's state and gradients of weights are not.
    /// </summary>
    public virtual bool IsActivation => false;

    /// <summary>Whether dimension 0 of an input counts the output's rows, which a weight's does not.</summary>
    public virtual bool HasRows(int position) => true;

    /// <summary>Position of the input whose memory the output may take, if nobody reads that input later; -1: none.</summary>
    public virtual int InPlaceInput => -1;

    /// <summary>Shape rule.</summary>
    /// <param name="inputs">Inputs by position; null where an optional one is absent.</param>
    /// <exception cref="GraphException">The inputs do not fit; the message is completed with the node's name.</exception>
    public abstract Shape Infer(IReadOnlyList<Value?> inputs);

    /// <summary>Element type of the output.</summary>
    public virtual DType OutputType => DType.F32;

    /// <summary>Arithmetic and compulsory traffic of one execution.</summary>
    public virtual Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 1);

    /// <summary>Appends the gradients by the inputs: the chain rule of this operator. <see cref="Gradients"/> calls it.</summary>
    /// <param name="g">Graph to append to, which holds the node.</param>
    /// <param name="node">An application of this operator.</param>
    /// <param name="dy">Gradient by the node's output.</param>
    /// <param name="wants">Whether the gradient by the input at a position is needed.</param>
    /// <returns>Gradients by position; what is not wanted may be null or absent.</returns>
    /// <exception cref="GraphException">The operator has no gradient, or none with these attributes.</exception>
    public virtual IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        throw new GraphException($"{Name} has no gradient rule");

    /// <summary>Throws a <see cref="GraphException"/> unless <paramref name="condition"/> holds.</summary>
    protected static void Require(bool condition, string message)
    {
        if (!condition) throw new GraphException(message);
    }

    /// <summary>An input that must be present, of the given rank (-1: any).</summary>
    protected static Value Take(IReadOnlyList<Value?> inputs, int position, string role, int rank)
    {
        Value value = inputs[position] ?? throw new GraphException($"{role} is missing");
        Require(rank < 0 || value.Shape.Rank == rank, $"{role} {value} must have {rank} dimensions");
        return value;
    }

    /// <summary>Requires an input, where present, to have exactly this shape.</summary>
    protected static void RequireShape(IReadOnlyList<Value?> inputs, int position, string role, Shape expected)
    {
        if (inputs[position] is { } value)
            Require(value.Shape == expected, $"{role} {value} must have shape {expected}");
    }
}
