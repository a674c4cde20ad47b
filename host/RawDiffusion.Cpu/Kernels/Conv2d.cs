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
        if (node.Inputs[Conv2d.SkipWeight] is not null)
            throw new GraphException($"{node.Name}: the CPU device computes skip convolutions on their own; compile without FuseSkip");
        var op = (Conv2d)node.Operator;
        Value weight = node.Input(Conv2d.Weight);
        if (context.RunsOnce || op.Stride != 1 || op.Padding != 1 || !Winograd.Suits(weight.Shape, node.Output.Shape))
            return new Conv2dDirect<S, V>(node, context);
        return new Conv2dWinograd<S, V>(
            new ConvSource<S, V>(node, context), new ConvStore<S, V>(node, context), node.Output.Shape, weight,
                WeightMatrix.Forward(weight.Shape), context);
    }
}

/// <summary>
/// Convolution as an implicit matrix product straight from NHWC: for an output row, A is the strip of input rows with one
/// row of A per pixel (kernel columns times channels are contiguous there), B the packed weights.
/// </summary>
internal sealed unsafe class Conv2dDirect<S, V> : WeightedLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // The strip, the panel of weights and the outputs of a task should stay in a second-level cache of 1 MiB together.
    private const int StripFloats = 64 * 1024;

    private readonly ConvSource<S, V> source;
    private readonly ConvStore<S, V> store;
    private readonly WeightMatrix matrix;
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
        Value weight = node.Input(Conv2d.Weight);
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
        matrix = WeightMatrix.Forward(weight.Shape);
        BindWeight(weight, PackedMatrix.Count(matrix.Rows, matrix.Columns, MicroKernel<S, V>.Columns), context);
    }

    public override string Description => $"conv2d {kernel}x{kernel} direct";

    public override long ScratchBytes => 4L * (StripCount + store.AddendCount + MicroKernel<S, V>.MaxRows * MicroKernel<S, V>.Columns + 64);

    // The last tile of a row may read beyond it.
    private int StripCount => ((rowsPerTask - 1) * stride + kernel + 1) * stripWidth * source.Channels
        + MicroKernel<S, V>.MaxRows * stride * source.Channels;

    protected override int PackTasks => PackedMatrix.Panels(matrix.Columns, MicroKernel<S, V>.Columns);

    protected override int ComputeTasks => images * tasksPerImage;

    protected override void Pack(int task, float* weight, float* destination)
    {
        int columns = MicroKernel<S, V>.Columns;
        matrix.PackPanel(weight, task * columns, columns, destination + (nint)task * matrix.Rows * columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Compute(int task, float* scratch)
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

        // With one tap and no stride the rows of the strip lie one after another as the output's do: tiles then run on
        // from one into the next, which fills them where images are small.
        int joined = kernel == 1 && stride == 1 ? Math.Max(1, rows) : 1;
        nint panel = (nint)kernel * kernel * channels * columns;
        float* b = Weights;
        for (int first = 0; first < store.Channels; first += columns, b += panel)
        {
            int count = Math.Min(columns, store.Channels - first);
            for (int r = 0; r < rows; r += joined)
            {
                float* row = strip + r * stride * stripRow;
                int pixels = Math.Min(joined, rows - r) * outWidth;
                for (int p = 0; p < pixels;)
                {
                    int tileRows = MicroKernel<S, V>.RowsFor(pixels - p);
                    MicroKernel<S, V>.Run(tileRows, row + (nint)p * stride * channels, stride * channels, kernel, stripRow,
                        kernel * channels, b, tile, columns);
                    int valid = Math.Min(tileRows, pixels - p);
                    for (int i = 0; i < valid; i++, p++)
                        store.Pixel(n, firstRow + r + p / outWidth, p % outWidth, first, count, tile + i * columns, addend);
                }
            }
        }
    }
}
