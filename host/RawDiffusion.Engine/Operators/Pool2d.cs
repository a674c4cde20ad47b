namespace RawDiffusion.Engine.Operators;

/// <summary>What a pool makes of its window.</summary>
public enum PoolKind
{
    /// <summary>The greatest element; NaN where there is one.</summary>
    Max,
    /// <summary>The mean of the elements that are inside the image (PyTorch's <c>count_include_pad=False</c>).</summary>
    Average,
}

/// <summary>
/// Pool over a square window, NHWC. Padding takes no part: it is neither the greatest nor counted. Positions where the window
/// would reach beyond the padding are dropped, as PyTorch does without <c>ceil_mode</c>. <see cref="AvgPool2d"/> is the 2 x 2
/// average that passes can fuse.
/// </summary>
/// <param name="Kind">What it makes of the window.</param>
/// <param name="Kernel">Height and width of the window.</param>
/// <param name="Stride">Distance of windows.</param>
/// <param name="Padding">On each side; at most half the window, so that every window holds an element.</param>
public sealed record Pool2d(PoolKind Kind, int Kernel, int Stride, int Padding = 0) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 4);
        Require(Kernel > 0 && Stride > 0, $"kernel and stride must be positive, not {Kernel} and {Stride}");
        Require(Padding >= 0 && 2 * Padding <= Kernel,
            $"padding must be at least 0 and at most half the kernel of {Kernel}, not {Padding}");
        int height = x.Shape[1] + 2 * Padding - Kernel, width = x.Shape[2] + 2 * Padding - Kernel;
        Require(height >= 0 && width >= 0, $"x {x} is too small for a {Kernel}x{Kernel} pool");
        return [x.Shape[0], height / Stride + 1, width / Stride + 1, x.Shape[3]];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, Kernel * Kernel);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Pool2d"/>
    public static Value Pool2d(this Graph g, Value x, PoolKind kind, int kernel, int stride, int padding = 0, string? name = null) =>
        g.Apply(new Pool2d(kind, kernel, stride, padding), [x], name);
}
