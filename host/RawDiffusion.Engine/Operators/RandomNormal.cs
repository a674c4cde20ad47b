namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Standard normal numbers: element i of step s is drawn from Philox4x32-10 at counter (i / 4, s) under key
/// (seed, stream), so it is the same on every device, whatever its parallelism. See <see cref="Philox"/>.
/// </summary>
/// <param name="Shape">Output shape.</param>
/// <param name="Seed">User's seed.</param>
/// <param name="Stream">Distinguishes independent uses of one seed.</param>
public sealed record RandomNormal(Shape Shape, uint Seed, uint Stream) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Step = 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        TableRow.StepCounter(inputs, Step);
        return Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 30);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="RandomNormal"/>
    public static Value RandomNormal(this Graph g, Shape shape, Value step, uint seed, uint stream, string? name = null) =>
        g.Apply(new RandomNormal(shape, seed, stream), [step], name);
}
