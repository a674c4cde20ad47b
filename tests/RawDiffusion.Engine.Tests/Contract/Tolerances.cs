using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>How a device computes: a column of the table.</summary>
internal enum Precision
{
    /// <summary>Single precision throughout.</summary>
    Float32,
    /// <summary>As that, with the GPU's own approximations of exponential, logarithm, sine and cosine.</summary>
    CudaFloat32,
}

/// <summary>
/// The one table of what an operator's result may differ from a double-precision reference, relative to the largest
/// element of the tensor unless said otherwise. A float32 has 24 bits: half a unit in the last place is 6e-8.
/// </summary>
internal static class Tolerances
{
    public static Tolerance Of(string op, Precision precision) => (op, precision) switch
    {
        // Two approximations of 2 ulp each; rounding x * log2(e) alone moves the exponential by 6e-8 |x|, and x reaches -14.
        ("Activate", Precision.CudaFloat32) => new Tolerance(1e-30, 1.5e-6, 0),
        // Radii up to 6 and angles up to 2 pi, each rounded a few times.
        ("RandomNormal", Precision.CudaFloat32) => Tolerance.Absolute(2e-6),
        (_, Precision.CudaFloat32) => Of(op, Precision.Float32),
        // Copies: not one bit may change.
        ("Concat" or "UpsampleNearest" or "View" or "TableRow" or "RepeatRows" or "Slice" or "Pack", _) => Tolerance.Exact,
        // Halves, doubles and counts.
        ("LossScale", _) => Tolerance.Exact,
        // Quarters of numbers that are not denormal.
        ("AvgPool2dGradInput", _) => Tolerance.Exact,
        // The host function is the definition; a device with its own logarithm and sine may differ by their roundings.
        ("RandomNormal", Precision.Float32) => Tolerance.Exact,
        // One rounding of each result.
        ("Add" or "AddEmbedding" or "RepeatRowsEmbedding", Precision.Float32) => Tolerance.Relative(6e-8),
        ("ScaleRows", Precision.Float32) => Tolerance.Relative(6e-8),
        // A dozen operations, each rounded, and a sum of squares.
        ("Adam", Precision.Float32) => Tolerance.RelativeToMax(5e-7),
        ("GradientNorm", Precision.Float32) => Tolerance.Relative(1e-6),
        // Cosines, each good to a few roundings of 1; their gradient is a difference of two terms of its size.
        ("PairwiseCosine", Precision.Float32) => Tolerance.Absolute(5e-7),
        ("PairwiseCosineGrad", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // A few roundings; SiLU's exponential is good to about 2e-7 of the element.
        ("Activate", Precision.Float32) => new Tolerance(1e-30, 4e-7, 0),
        ("AvgPool2d" or "Pool2d" or "SumRows" or "DenoiseStep" or "BatchNorm", Precision.Float32) => Tolerance.RelativeToMax(1e-6),
        // The gradient of SiLU is 0 between two terms near -1.28: relative to the largest.
        ("ActivateGrad" or "UpsampleNearestGradInput", Precision.Float32) => Tolerance.RelativeToMax(5e-7),
        // The factor's rounding and the product's; a loss's, a running statistic's and a difference's.
        ("SumRowsGradInput" or "Dropout", Precision.Float32) => Tolerance.Relative(2e-7),
        ("MseLoss" or "MseLossGradPrediction" or "BatchNormRunning", Precision.Float32) => Tolerance.RelativeToMax(1e-6),
        // Sums of many terms of random sign, the blocks' in double; of statistics, relative to the mean and the variance.
        ("AddEmbeddingGradEmbedding" or "BatchNormStatistics", Precision.Float32) => Tolerance.RelativeToMax(1e-6),
        // The mean of a block near 100 is rounded to 4e-6, of which the variance has twice its product with a deviation.
        ("BatchNormOffset", Precision.Float32) => Tolerance.RelativeToMax(1e-5),
        ("BatchNormTrain" or "GroupNormGradAffine" or "GroupNormGradFilm", Precision.Float32) => Tolerance.RelativeToMax(1e-6),
        ("GroupNormGradSums" or "BatchNormGradAffine", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // What is left of three terms of its size.
        ("GroupNormGradInput" or "BatchNormGradInput", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // Five products with the weights of rounded scores.
        ("AttentionGrad", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // Differences over 1e-4 of a smooth function: 1e-8 of its third derivative.
        ("FiniteDifference", Precision.Float32) => Tolerance.RelativeToMax(1e-5),
        // Chains of a few operators, some of which divide by a deviation.
        ("Gradients", Precision.Float32) => Tolerance.RelativeToMax(1e-5),
        // goldens/README.md: cancellation of two numbers that are normalised to about 1 and -1.
        ("GoldenPair", Precision.Float32) => Tolerance.RelativeToMax(1e-3),
        // Sums of up to 1000 products of random sign: sqrt(1000) roundings of 6e-8, and rarely more than twice that.
        ("Linear" or "LinearGradInput" or "Conv2d" or "Conv2dGradInput", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // Sums over thousands of positions, in blocks.
        ("LinearGradWeight" or "Conv2dGradWeight" or "ChannelSum", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // Statistics in float32 within blocks, merged in double.
        ("GroupNorm" or "GroupNormAffine", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // A mean of 100 standard deviations: x * scale and shift are 100 times the result.
        ("GroupNormOffset", Precision.Float32) => Tolerance.RelativeToMax(1e-4),
        // Scores of magnitude 5 are rounded to 5e-7 before the exponential.
        ("Attention", Precision.Float32) => Tolerance.RelativeToMax(3e-6),
        // The phase t * f is rounded to float32, as the authors do: near t = 1000 that is 3e-5 (goldens/README.md).
        ("TimestepEmbedding", Precision.Float32) => Tolerance.Absolute(1e-6),
        // goldens/README.md, ops.safetensors.
        ("Golden", Precision.Float32) => Tolerance.RelativeToMax(1e-5),
        // Those of a few roundings each.
        ("GoldenElementwise", Precision.Float32) => Tolerance.RelativeToMax(1e-6),
        ("GoldenOffset", Precision.Float32) => Tolerance.RelativeToMax(1e-4),
        // Two orders of the same operations in a network of some 15 group norms, each of which may amplify a rounding.
        ("Pass", Precision.Float32) => Tolerance.RelativeToMax(3e-5),
        _ => throw new ArgumentException($"no tolerance is stated for {op} in {precision}"),
    };
}
