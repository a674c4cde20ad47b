using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Chooses the convolution kernel for a node.</summary>
internal sealed class Conv2dKernel : CpuKernel<Conv2d>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        // Winograd takes the 3x3 convolution of a residual block and not its 1x1: two kernels are faster than one here.
        if (node.Inputs.Count > Conv2d.SkipWeight && node.Inputs[Conv2d.SkipWeight] is not null)
            throw new GraphException($"{node.Name}: the CPU device computes skip convolutions on their own; compile without FuseSkip");
        return !context.RunsOnce && Conv2dWinograd<S, V>.Suits(node) ? new Conv2dWinograd<S, V>(node, context) : new Conv2dDirect<S, V>(node, context);
    }
}

/// <summary>
/// Convolution as an implicit matrix product straight from NHWC: for an output row, A is the strip of input rows with one
/// row of A per pixel (kernel columns times channels are contiguous there), B the packed weights.
/// </summary>
internal sealed unsafe class Conv2dDirect<S, V> : CpuLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // The strip, the panel of weights and the outputs of a task should stay in a second-level cache of 1 MiB together.
    private const int StripFloats = 64 * 1024;

    private readonly ConvSource<S, V> source;
    private readonly ConvStore<S, V> store;
    private readonly float* weights;
    private readonly int kernel;
    private readonly int stride;
    private readonly int padding;
    private readonly int images;
    private readonly int outHeight;
    private readonly int outWidth;
    private readonly int rowsPerTask;
    private readonly int tasksPerImage;
    private readonly int stripWidth;

    public Conv2dDirect(Node node, CpuContext context)
    {
        var op = (Conv2d)node.Operator;
        source = new ConvSource<S, V>(node, context);
        store = new ConvStore<S, V>(node, context);
        Value weight = node.Input(1);
        kernel = weight.Shape[1];
        stride = op.Stride;
        padding = op.Padding;
        images = node.Output.Shape[0];
        outHeight = node.Output.Shape[1];
        outWidth = node.Output.Shape[2];
        stripWidth = source.Width + 2 * padding;
        int stripRowFloats = stripWidth * source.Channels;
        rowsPerTask = Math.Clamp((StripFloats / Math.Max(1, stripRowFloats) - kernel) / stride + 1, 1, Math.Max(1, outHeight));
        // Rather several tasks of equal height than a last one with a single row.
        tasksPerImage = (outHeight + rowsPerTask - 1) / rowsPerTask;
        rowsPerTask = (outHeight + tasksPerImage - 1) / tasksPerImage;
        weights = Pack(weight, context);
    }

    public override string Description => $"conv2d {kernel}x{kernel} direct";

    public override long ScratchBytes => 4L * (StripCount + store.AddendCount + MicroKernel<S, V>.MaxRows * MicroKernel<S, V>.Columns + 64);

    // The last tile of a row may read beyond it.
    private int StripCount => ((rowsPerTask - 1) * stride + kernel + 1) * stripWidth * source.Channels
        + MicroKernel<S, V>.MaxRows * stride * source.Channels;

    public override int Tasks(int phase) => images * tasksPerImage;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Run(int phase, int task, float* scratch)
    {
        int n = task / tasksPerImage;
        int firstRow = task % tasksPerImage * rowsPerTask;
        int rows = Math.Min(rowsPerTask, outHeight - firstRow);
        int channels = source.Channels;
        int columns = MicroKernel<S, V>.Columns;
        float* tile = scratch;
        float* addend = tile + MicroKernel<S, V>.MaxRows * columns;
        float* strip = addend + store.AddendCount;

        store.LoadAddend(n, addend);
        int stripRows = (rows - 1) * stride + kernel;
        nint stripRow = (nint)stripWidth * channels;
        for (int r = 0; r < stripRows; r++)
            source.LoadRow(n, firstRow * stride - padding + r, strip + r * stripRow, padding, padding);

        nint panel = (nint)kernel * kernel * channels * columns;
        float* b = weights;
        for (int first = 0; first < store.Channels; first += columns, b += panel)
        {
            int count = Math.Min(columns, store.Channels - first);
            for (int r = 0; r < rows; r++)
            {
                float* row = strip + r * stride * stripRow;
                for (int ox = 0; ox < outWidth;)
                {
                    int left = outWidth - ox;
                    int tileRows = MicroKernel<S, V>.RowsFor(left);
                    MicroKernel<S, V>.Run(tileRows, row + (nint)ox * stride * channels, stride * channels, kernel, stripRow, kernel * channels, b, tile, columns);
                    int valid = Math.Min(tileRows, left);
                    for (int i = 0; i < valid; i++) store.Pixel(n, firstRow + r, ox + i, first, count, tile + i * columns, addend);
                    ox += valid;
                }
            }
        }
    }

    // OHWI is already [O, k] with k in the strip's order.
    private static float* Pack(Value weight, CpuContext context)
    {
        int k = (int)(weight.Shape.Count / weight.Shape[0]);
        NativeBuffer packed = context.Allocate(PackedMatrix.Count(k, weight.Shape[0], MicroKernel<S, V>.Columns));
        using NativeBuffer plain = context.ReadConstant(weight) ?? throw new GraphException($"the weight {weight} must be a constant");
        PackedMatrix.Pack(plain.Pointer, 1, k, k, weight.Shape[0], MicroKernel<S, V>.Columns, packed.Pointer);
        return packed.Pointer;
    }
}
