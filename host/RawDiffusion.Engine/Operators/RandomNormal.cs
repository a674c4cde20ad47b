namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Standard normal numbers: element i of step s is drawn from Philox4x32-10 at counter (i / 4, s) under key
/// (seed, stream), so it is the same on every device, whatever its parallelism. See <see cref="Philox"/>.
/// </summary>
/// <remarks>
/// Inputs: 0 step [1]; 1 first [1], optional, at least 0: the output's rows are rows first, first + 1, .. of the stream, whose elements
/// follow each other row by row, so that a part of a batch draws what the whole draws there.
/// </remarks>
/// <param name="Shape">Output shape.</param>
/// <param name="Seed">User's seed.</param>
/// <param name="Stream">Distinguishes independent uses of one seed.</param>
public sealed record RandomNormal(Shape Shape, uint Seed, uint Stream) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Step = 0, First = 1;

    /// <summary>Elements of a row of the output.</summary>
    public long RowLength => Shape.Count / Math.Max(1, Shape[0]);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        TableRow.StepCounter(inputs, Step);
        Require(Shape.Rank > 0, $"an output of shape {Shape} has no rows");
        if (inputs[First] is { } first) Require(first.DType == DType.I32 && first.Shape == [1], $"first {first} must be one int32");
        return Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 30);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="RandomNormal"/>
    public static Value RandomNormal(this Graph g, Shape shape, Value step, uint seed, uint stream, string? name = null,
        Value? first = null) =>
        g.Apply(new RandomNormal(shape, seed, stream), [step, first], name);
}
