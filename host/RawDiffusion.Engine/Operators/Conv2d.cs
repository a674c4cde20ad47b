namespace RawDiffusion.Engine.Operators;

/// <summary>
/// 2-D convolution, NHWC, square kernel, zero padding. One operator covers the plain convolution and the fused ones
/// that the passes make of it:
/// y = onStore(conv(upsample(onLoad(affine(concat(x, x2))))) + skipWeight concat(skip, skip2) + bias + embedding + residual).
/// </summary>
/// <remarks>
/// Inputs by position: 0 x [N, H, W, C]; 1 weight [O, K, K, C + C2] (PyTorch's OIHW becomes OHWI on import); 2 bias [O];
/// 3 x2 [N, H, W, C2], read as if concatenated to x; 4 affine [N, 2, C + C2], scale then shift of a normalised input;
/// 5 embedding [N, O]; 6 residual, like the output, or half its height and width with <see cref="UpsampleResidual"/>;
/// 7 skip [N, H', W', S], of the output's height and width, 8 skip2 [N, H', W', S2], 9 skipWeight [O, 1, 1, S + S2]: a 1x1
/// convolution added to this one. Only devices that ask for <see cref="Passes.FuseSkip"/> meet the last three.
/// </remarks>
/// <param name="Stride">1 or 2.</param>
/// <param name="Padding">Zeros on each side.</param>
public sealed record Conv2d(int Stride, int Padding) : Operator(arity: 10)
{
    /// <summary>Positions of the inputs; those from <see cref="Bias"/> on are optional.</summary>
    public const int X = 0, Weight = 1, Bias = 2, X2 = 3, Affine = 4, Embedding = 5, Residual = 6, Skip = 7, Skip2 = 8, SkipWeight = 9;

    /// <summary>Applied to each input element, after the affine; padding stays zero.</summary>
    public Activation OnLoad { get; init; }

    /// <summary>Applied to each output element, last.</summary>
    public Activation OnStore { get; init; }

    /// <summary>The convolution sees each input pixel twice in each direction (nearest upsampling).</summary>
    public bool Upsample { get; init; }

    /// <summary>The residual is read with nearest upsampling.</summary>
    public bool UpsampleResidual { get; init; }

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is not (Weight or Bias or SkipWeight);

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Value w = Take(inputs, Weight, "weight", 4);
        Value? x2 = inputs[X2];
        int channels = x.Shape[^1] + (x2?.Shape[^1] ?? 0);
        if (x2 is not null) RequireShape(inputs, X2, "x2", x.Shape.WithChannels(x2.Shape[^1]));
        Require(w.Shape[^1] == channels, $"weight {w} must have as many input channels as x {x} ({channels})");
        Require(w.Shape[1] == w.Shape[2], $"weight {w} must have a square kernel");
        Require(Stride is 1 or 2, $"stride must be 1 or 2, not {Stride}");
        Require(Padding >= 0 && Padding < w.Shape[1], $"padding must be at least 0 and less than the kernel, not {Padding}");
        int scale = Upsample ? 2 : 1;
        int height = (scale * x.Shape[1] + 2 * Padding - w.Shape[1]) / Stride + 1;
        int width = (scale * x.Shape[2] + 2 * Padding - w.Shape[1]) / Stride + 1;
        Require(scale * x.Shape[1] + 2 * Padding >= w.Shape[1] && scale * x.Shape[2] + 2 * Padding >= w.Shape[1],
            $"x {x} is smaller than the kernel of {w}");
        Shape output = [x.Shape[0], height, width, w.Shape[0]];
        RequireShape(inputs, Bias, "bias", [output[^1]]);
        RequireShape(inputs, Affine, "affine", [x.Shape[0], 2, channels]);
        RequireShape(inputs, Embedding, "embedding", [x.Shape[0], output[^1]]);
        if (UpsampleResidual && inputs[Residual] is { } residual)
            Require(height % 2 == 0 && width % 2 == 0, $"an upsampled residual {residual} cannot have the output's shape {output}");
        RequireShape(inputs, Residual, "residual", UpsampleResidual ? [output[0], height / 2, width / 2, output[^1]] : output);
        if (inputs[SkipWeight] is not null) CheckSkip(inputs, output);
        return output;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        Shape w = inputs[Weight]!.Shape;
        long skip = inputs[SkipWeight]?.Shape[^1] ?? 0;
        return new(2.0 * output.Count * (w[1] * w[2] * w[3] + skip), Engine.Cost.Traffic(inputs, output));
    }

    private static void CheckSkip(IReadOnlyList<Value?> inputs, Shape output)
    {
        Value skip = Take(inputs, Skip, "skip", 4);
        RequireShape(inputs, Skip, "skip", output.WithChannels(skip.Shape[^1]));
        int channels = skip.Shape[^1];
        if (inputs[Skip2] is { } skip2)
        {
            Require(skip2.Shape.Rank == 4, $"skip2 {skip2} must have 4 dimensions");
            RequireShape(inputs, Skip2, "skip2", output.WithChannels(skip2.Shape[^1]));
            channels += skip2.Shape[^1];
        }
        RequireShape(inputs, SkipWeight, "skip weight", [output[^1], 1, 1, channels]);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(this == new Conv2d(Stride, Padding) && node.Inputs.Skip(X2).All(i => i is null),
            "a convolution has no gradient once others were fused into it");
        Value x = node.Input(X), weight = node.Input(Weight);
        return
        [
            wants(X) ? g.Conv2dGradInput(dy, weight, Stride, Padding, x.Shape[1], x.Shape[2]) : null,
            wants(Weight) ? g.Conv2dGradWeight(x, dy, weight.Shape[1], Stride, Padding) : null,
            wants(Bias) ? g.ChannelSum(dy) : null,
        ];
    }
}

/// <summary>
/// Gradient of a plain <see cref="Conv2d"/> (no fused inputs but a bias) by its input:
/// dx[n, y, x, c] = sum over o and the taps with y + P - ky, x + P - kx multiples of S of
/// dy[n, (y + P - ky) / S, (x + P - kx) / S, o] * w[o, ky, kx, c].
/// </summary>
/// <remarks>Inputs: 0 dy [N, OH, OW, O]; 1 weight [O, K, K, C]. Output dx [N, Height, Width, C].</remarks>
/// <param name="Stride">The convolution's.</param>
/// <param name="Padding">The convolution's.</param>
/// <param name="Height">Height of the convolution's input, which that of its output does not tell where the stride is 2.</param>
/// <param name="Width">Width of the convolution's input.</param>
public sealed record Conv2dGradInput(int Stride, int Padding, int Height, int Width) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Dy = 0, Weight = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override bool HasRows(int position) => position is Dy;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value dy = Take(inputs, Dy, "dy", 4);
        Value w = Take(inputs, Weight, "weight", 4);
        Conv2dGradWeight.Check(dy, Height, Width, w.Shape[1], Stride, Padding);
        Require(w.Shape[1] == w.Shape[2], $"weight {w} must have a square kernel");
        Require(dy.Shape[3] == w.Shape[0], $"weight {w} must have as many output channels as dy {dy}");
        return [dy.Shape[0], Height, Width, w.Shape[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        Shape w = inputs[Weight]!.Shape;
        return new(2.0 * inputs[Dy]!.Shape.Count * w[1] * w[2] * w[3], Engine.Cost.Traffic(inputs, output));
    }
}

/// <summary>
/// Gradient of a plain <see cref="Conv2d"/> by its weight: dw[o, ky, kx, c] = sum over n, oy, ox of
/// dy[n, oy, ox, o] * x[n, oy S + ky - P, ox S + kx - P, c].
/// </summary>
/// <remarks>Inputs: 0 x [N, H, W, C]; 1 dy [N, OH, OW, O]. Output dw [O, K, K, C], not an activation: always float32.</remarks>
/// <param name="Kernel">Taps in each direction.</param>
/// <param name="Stride">The convolution's.</param>
/// <param name="Padding">The convolution's.</param>
public sealed record Conv2dGradWeight(int Kernel, int Stride, int Padding) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Dy = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Value dy = Take(inputs, Dy, "dy", 4);
        Require(x.Shape[0] == dy.Shape[0], $"x {x} and dy {dy} must have as many images");
        Check(dy, x.Shape[1], x.Shape[2], Kernel, Stride, Padding);
        return [dy.Shape[3], Kernel, Kernel, x.Shape[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(2.0 * inputs[Dy]!.Shape.Count * Kernel * Kernel * output[3], Engine.Cost.Traffic(inputs, output));

    internal static void Check(Value dy, int height, int width, int kernel, int stride, int padding)
    {
        Require(stride is 1 or 2, $"stride must be 1 or 2, not {stride}");
        Require(padding >= 0 && padding < kernel, $"padding must be at least 0 and less than the kernel, not {padding}");
        int outHeight = (height + 2 * padding - kernel) / stride + 1, outWidth = (width + 2 * padding - kernel) / stride + 1;
        Require(height + 2 * padding >= kernel && width + 2 * padding >= kernel && dy.Shape[1] == outHeight && dy.Shape[2] == outWidth,
            $"dy {dy} must be the output of a {kernel}x{kernel} convolution of a {height}x{width} image, {outHeight}x{outWidth}");
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.Conv2dGradInput"/>
    public static Value Conv2dGradInput(this Graph g, Value dy, Value weight, int stride, int padding, int height, int width,
        string? name = null) =>
        g.Apply(new Conv2dGradInput(stride, padding, height, width), [dy, weight], name);

    /// <inheritdoc cref="Operators.Conv2dGradWeight"/>
    public static Value Conv2dGradWeight(this Graph g, Value x, Value dy, int kernel, int stride, int padding, string? name = null) =>
        g.Apply(new Conv2dGradWeight(kernel, stride, padding), [x, dy], name);

    /// <inheritdoc cref="Conv2d"/>
    public static Value Conv2d(this Graph g, Value x, Value weight, Value? bias, int stride = 1, int padding = 0, string? name = null) =>
        g.Apply(new Conv2d(stride, padding), [x, weight, bias], name);
}
