namespace RawDiffusion.Engine.Operators;

/// <summary>
/// One row of a table of per-step constants, for each row of a batch: table [S, ..], step [1] gives table[step] in every
/// row, shape [Rows, ..]. A step outside the table reads its nearest row.
/// </summary>
/// <param name="Rows">Rows of the output.</param>
public sealed record TableRow(int Rows = 1) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Table = 0, Step = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value table = Take(inputs, Table, "table", -1);
        Require(table.Shape.Rank >= 1 && table.Shape[0] > 0, $"table {table} must have rows");
        StepCounter(inputs, Step);
        return table.Shape.WithRows(Rows);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(0, 4.0 * output.Count + 4.0 * inputs[Table]!.Shape.Count / inputs[Table]!.Shape[0]);

    internal static void StepCounter(IReadOnlyList<Value?> inputs, int position)
    {
        Value step = Take(inputs, position, "step", 1);
        Require(step.DType == DType.I32 && step.Shape[0] == 1, $"step {step} must be one int32");
    }
}

/// <summary>step + 1: the device-side counter that lets one executable serve every sampling step.</summary>
public sealed record NextStep() : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Step = 0;

    /// <inheritdoc/>
    public override DType OutputType => DType.I32;

    /// <inheritdoc/>
    public override int InPlaceInput => Step;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        TableRow.StepCounter(inputs, Step);
        return [1];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="NextStep"/>
    public static Value NextStep(this Graph g, Value step, string? name = null) => g.Apply(new NextStep(), [step], name);

    /// <inheritdoc cref="TableRow"/>
    public static Value TableRow(this Graph g, Value table, Value step, int rows = 1, string? name = null) =>
        g.Apply(new TableRow(rows), [table, step], name);
}
