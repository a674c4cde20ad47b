namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The end of a sampling step as one kernel: the weighted mean of the factors' last activations, the output convolution
/// (3x3, padding 1; linear, so it may follow the mean), and the <see cref="DenoiseStep"/> update of x.
/// </summary>
/// <remarks>
/// Inputs: 0 h [R, H, W, C]; 1 x [N, H, W, O]; 2 table [S, 5]; 3 step [1]; 4 noise [N, H, W, O], optional; 5 affine
/// [R, 2, C], optional: h is read as onLoad(scale * h + shift); 6 weight [O, 3, 3, C]; 7 bias [O], optional.
/// </remarks>
/// <param name="Groups">Rows and weights of each trajectory.</param>
/// <param name="OnLoad">Activation of h.</param>
/// <param name="Clip">Whether x0 is clipped to [-1, 1].</param>
public sealed record DenoiseAverageStep(RowGroups Groups, Activation OnLoad, bool Clip) : Operator(arity: 8)
{
    /// <summary>Positions of the inputs.</summary>
    public const int H = 0, X = DenoiseStep.X, Table = DenoiseStep.Table, Step = DenoiseStep.Step, Noise = DenoiseStep.Noise;

    /// <summary>Positions of the inputs that the step has not.</summary>
    public const int Affine = 5, Weight = 6, Bias = 7;

    /// <inheritdoc/>
    public override int InPlaceInput => X;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value activations = Take(inputs, H, "h", 4);
        Shape h = activations.Shape;
        Value x = Take(inputs, X, "x", 4);
        Require(h[0] == Groups.Rows, $"h {activations} must have {Groups.Rows} rows");
        RequireShape(inputs, X, "x", [Groups.Count, h[1], h[2], x.Shape[3]]);
        DenoiseStep.RequireTable(inputs, x.Shape);
        RequireShape(inputs, Affine, "affine", [h[0], 2, h[3]]);
        Take(inputs, Weight, "weight", 4);
        RequireShape(inputs, Weight, "weight", [x.Shape[3], 3, 3, h[3]]);
        RequireShape(inputs, Bias, "bias", [x.Shape[3]]);
        return x.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * inputs[H]!.Shape.Count + 18.0 * output.Count * inputs[H]!.Shape[3] + 10.0 * output.Count,
        Engine.Cost.Traffic(inputs, output));
}
