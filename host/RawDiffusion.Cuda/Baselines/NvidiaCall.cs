using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Baselines;

/// <summary>A call of one of NVIDIA's libraries that computes the products of a launch of ours, without what is fused into it.</summary>
/// <param name="Precision">Storage and operands.</param>
internal abstract record NvidiaCall(Precision Precision)
{
    /// <summary>Elements of both operands and of the result.</summary>
    public abstract (long X, long W, long Y) Elements { get; }

    /// <summary>Hands a function that queues the call to <paramref name="time"/>, and gives what that gives.</summary>
    public abstract double Measure(NvidiaDriver driver, CuBlas blas, ulong x, ulong w, ulong y, nint stream, Func<Action, double> time);

    /// <summary>The calls that compute a node's products; none for a node without any.</summary>
    /// <param name="node">A node of a compiled graph.</param>
    /// <param name="led">The nodes whose outputs its launch writes: itself, then others.</param>
    /// <param name="precision">Of the executable.</param>
    public static IReadOnlyList<NvidiaCall> Of(Node node, IReadOnlyList<Node> led, Precision precision) => node.Operator switch
    {
        Conv2d conv => [Convolution(node, conv, precision), .. Skip(node, precision)],
        // Exact in every precision, as ours.
        Linear => [new NvidiaProduct(node.Output.Shape[0], led.Sum(n => n.Output.Shape[1]), node.Input(Linear.X).Shape[1],
            Precision.Fp32)],
        _ => [],
    };

    private static NvidiaCall Convolution(Node node, Conv2d conv, Precision precision)
    {
        Shape x = node.Input(Conv2d.X).Shape, weight = node.Input(Conv2d.Weight).Shape;
        int scale = conv.Upsample ? 2 : 1;
        if (weight[1] == 1 && conv.Stride == 1 && conv.Padding == 0) return Pixelwise(node, weight, precision);
        return new NvidiaConvolution(
            new(x[0], scale * x[1], scale * x[2], weight[3], weight[0], weight[1], conv.Stride, conv.Padding), precision);
    }

    private static IEnumerable<NvidiaCall> Skip(Node node, Precision precision)
    {
        if (node.Inputs[Conv2d.SkipWeight] is { } weight) yield return Pixelwise(node, weight.Shape, precision);
    }

    // A 1x1 convolution is the product of pixels and weights.
    private static NvidiaProduct Pixelwise(Node node, Shape weight, Precision precision)
    {
        Shape y = node.Output.Shape;
        return new NvidiaProduct(y[0] * y[1] * y[2], weight[0], weight[3], precision);
    }
}

/// <summary>cuDNN's forward convolution.</summary>
/// <param name="Shape">Of input, filter and output.</param>
/// <param name="Precision">Storage and operands.</param>
internal sealed record NvidiaConvolution(ConvolutionShape Shape, Precision Precision) : NvidiaCall(Precision)
{
    public override (long X, long W, long Y) Elements => (
        (long)Shape.Batch * Shape.Height * Shape.Width * Shape.InputChannels,
        (long)Shape.OutputChannels * Shape.Kernel * Shape.Kernel * Shape.InputChannels,
        (long)Shape.Batch * Shape.OutputHeight * Shape.OutputWidth * Shape.OutputChannels);

    public override double Measure(NvidiaDriver driver, CuBlas blas, ulong x, ulong w, ulong y, nint stream, Func<Action, double> time)
    {
        using var convolution = new CuDnn(driver, Shape, Precision);
        return time(() => convolution.Run(x, w, y, stream));
    }

    public override string ToString() =>
        $"cuDNN {Shape.Batch} x {Shape.Height} x {Shape.Width} x {Shape.InputChannels} -> {Shape.OutputChannels}, "
        + $"{Shape.Kernel}x{Shape.Kernel}, stride {Shape.Stride}, padding {Shape.Padding}";
}

/// <summary>cuBLAS's product of [Rows, Depth] and a transposed [Columns, Depth].</summary>
/// <param name="Rows">Rows of the result.</param>
/// <param name="Columns">Columns of the result.</param>
/// <param name="Depth">Products of each sum.</param>
/// <param name="Precision">Storage and operands.</param>
internal sealed record NvidiaProduct(int Rows, int Columns, int Depth, Precision Precision) : NvidiaCall(Precision)
{
    public override (long X, long W, long Y) Elements => ((long)Rows * Depth, (long)Columns * Depth, (long)Rows * Columns);

    public override double Measure(NvidiaDriver driver, CuBlas blas, ulong x, ulong w, ulong y, nint stream, Func<Action, double> time) =>
        time(() => blas.Multiply(Precision, Rows, Columns, Depth, x, w, transposeB: true, y, stream));

    public override string ToString() => $"cuBLAS {Rows} x {Depth} by {Depth} x {Columns}";
}
