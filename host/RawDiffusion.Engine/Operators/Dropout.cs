namespace RawDiffusion.Engine.Operators;

/// <summary>
/// y = x / (1 - rate) where the element is kept, else 0. Element i is dropped if its random word is below rate * 2^32: with
/// n = first + i, word n % 4 of the <see cref="Philox"/> block at counter (n / 4, step, 0), the first of 64 bits, under key
/// (seed, stream). Inputs: 0 x; 1 step [1]. The gradient is the same operator, applied to dy at the same step.
/// </summary>
/// <param name="Rate">Share that is dropped, 0 to less than 1.</param>
/// <param name="Seed">User's seed.</param>
/// <param name="Stream">Distinguishes independent uses of one seed.</param>
/// <param name="First">
/// Place of the first element among those of all processes and parts of a batch, a multiple of 4: together they drop what one would.
/// </param>
public sealed record Dropout(float Rate, uint Seed, uint Stream, long First = 0) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Step = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <summary>Words below this are dropped.</summary>
    public uint Threshold => (uint)Math.Min(uint.MaxValue, Rate * 4294967296.0);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Require(Rate is >= 0 and < 1, $"the rate must be at least 0 and less than 1, not {Rate}");
        Require(First >= 0 && First % 4 == 0, $"the first element must be a multiple of 4, not {First}");
        TableRow.StepCounter(inputs, Step);
        return Take(inputs, X, "x", -1).Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 2);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.Apply(this, [dy, node.Input(Step)])];
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.Dropout"/>
    public static Value Dropout(this Graph g, Value x, Value step, float rate, uint seed, uint stream, long first = 0,
        string? name = null) =>
        g.Apply(new Dropout(rate, seed, stream, first), [x, step], name);
}
