namespace RawDiffusion.Engine.Operators;

/// <summary>
/// One reverse step: x0 = clip(cx x + cp prediction), x' = c0 x0 + ct x + sigma noise, with the five coefficients read
/// from a table by a device-side step counter. With the right table this is DDIM with any eta, DDPM, DDIM reversed, and
/// x0- or eps-prediction alike.
/// </summary>
/// <remarks>
/// Inputs: 0 prediction [N, H, W, C]; 1 x [N, H, W, C]; 2 table [S, 5] with columns cx, cp, c0, ct, sigma; 3 step [1];
/// 4 noise [N, H, W, C], optional.
/// </remarks>
/// <param name="Clip">Whether x0 is clipped to [-1, 1].</param>
public sealed record DenoiseStep(bool Clip) : Operator(arity: 5)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Prediction = 0, X = 1, Table = 2, Step = 3, Noise = 4;

    /// <summary>Columns of the table.</summary>
    public const int Columns = 5;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value prediction = Take(inputs, Prediction, "prediction", 4);
        RequireShape(inputs, X, "x", prediction.Shape);
        RequireTable(inputs, prediction.Shape);
        return Take(inputs, X, "x", 4).Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 10);

    internal static void RequireTable(IReadOnlyList<Value?> inputs, Shape x)
    {
        Value table = Take(inputs, Table, "table", 2);
        Require(table.Shape[0] > 0 && table.Shape[1] == Columns, $"table {table} must have rows of {Columns} coefficients");
        TableRow.StepCounter(inputs, Step);
        RequireShape(inputs, Noise, "noise", x);
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="DenoiseStep"/>
    public static Value DenoiseStep(this Graph g, Value prediction, Value x, Value table, Value step, Value? noise = null, bool clip = true,
        string? name = null) =>
        g.Apply(new DenoiseStep(clip), [prediction, x, table, step, noise], name);
}
