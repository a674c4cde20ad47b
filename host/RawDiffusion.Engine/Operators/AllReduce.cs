namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The sum of x over all processes that run the graph, the same bits in each. The node only starts it, so that it goes on beside
/// what comes next: nothing but <see cref="AllReduceWait"/> may read its output. Inputs: 0 x, any shape.
/// </summary>
/// <param name="Ranks">Number of processes; the device must know as many (<see cref="ICommunicator"/>).</param>
public sealed record AllReduce(int Ranks) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Require(Ranks >= 1, $"{Ranks} processes cannot have a sum");
        return Take(inputs, X, "x", -1).Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => new(output.Count, 8.0 * output.Count);
}

/// <summary>Waits for a sum over all processes and passes it on. Inputs: 0 the output of <see cref="AllReduce"/>.</summary>
public sealed record AllReduceWait() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Sum = 0;

    /// <inheritdoc/>
    public override int InPlaceInput => Sum;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value sum = Take(inputs, Sum, "sum", -1);
        Require(sum.Producer?.Operator is AllReduce, $"{sum} is no sum over processes");
        return sum.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => default;
}

/// <summary>What all processes have for x, by rank: x of shape S gives [Ranks, S]. Inputs: 0 x.</summary>
/// <param name="Ranks">Number of processes; the device must know as many (<see cref="ICommunicator"/>).</param>
public sealed record AllGather(int Ranks) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Require(Ranks >= 1, $"there are no {Ranks} processes to gather from");
        return [Ranks, .. Take(inputs, X, "x", -1).Shape];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => new(0, 4.0 * output.Count);
}

public static partial class GraphBuilder
{
    /// <summary>The sum of x over all processes, at once.</summary>
    public static Value AllReduce(this Graph g, Value x, int ranks, string? name = null) =>
        g.AllReduceWait(g.StartAllReduce(x, ranks, name is null ? null : name + ".start"), name);

    /// <inheritdoc cref="Operators.AllReduce"/>
    public static Value StartAllReduce(this Graph g, Value x, int ranks, string? name = null) => g.Apply(new AllReduce(ranks), [x], name);

    /// <inheritdoc cref="Operators.AllReduceWait"/>
    public static Value AllReduceWait(this Graph g, Value sum, string? name = null) => g.Apply(new AllReduceWait(), [sum], name);

    /// <inheritdoc cref="Operators.AllGather"/>
    public static Value AllGather(this Graph g, Value x, int ranks, string? name = null) => g.Apply(new AllGather(ranks), [x], name);
}
