using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Gradient of a convolution by its input: a convolution of dy with the weight turned round and its channels exchanged.
/// </summary>
internal sealed class Conv2dGradInputKernel : CpuKernel<Conv2dGradInput>
{
    public override unsafe CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        var op = (Conv2dGradInput)node.Operator;
        (Value dy, Value weight, Shape output) = (node.Input(Conv2dGradInput.Dy), node.Input(Conv2dGradInput.Weight), node.Output.Shape);
        if (context.RunsOnce || op.Stride != 1 || op.Padding != 1 || !Winograd.Suits(weight.Shape, output))
            return new Conv2dGradInputDirect<S, V>(op, dy, weight, node.Output, context);
        return new Conv2dWinograd<S, V>(
            new ConvSource<S, V>(context.Pointer(dy), dy.Shape), new ConvStore<S, V>(context.Pointer(node.Output), output), output,
            weight, WeightMatrix.Transposed(weight.Shape, Enumerable.Range(0, 9).Reverse()), context);
    }
}

/// <summary>
/// The direct form. With stride S, input rows and columns fall into S x S classes by their remainder: those of a class see the
/// same taps, and their gradient is a plain convolution of dy with these, so that nothing is multiplied by zeros that
/// a stride would insert. A task takes a band of rows of one image.
/// </summary>
internal sealed unsafe class Conv2dGradInputDirect<S, V> : WeightedLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // As for the forward convolution: the strip and a panel of weights stay in a second-level cache.
    private const int StripFloats = 64 * 1024;

    // Images of up to so many pixels become single rows where a kernel has one tap.
    private const int JoinedPixels = 256;

    private readonly ConvSource<S, V> source;
    private readonly float* dx;
    private readonly WeightMatrix[] classes;
    private readonly long[] classStart;
    private readonly int kernel;
    private readonly int stride;
    private readonly int padding;
    private readonly int images;
    private readonly int height;
    private readonly int width;
    private readonly int channels;
    private readonly int rowsPerTask;
    private readonly int tasksPerImage;
    private readonly int left;
    private readonly int right;

    public Conv2dGradInputDirect(Conv2dGradInput op, Value dy, Value weight, Value output, CpuContext context)
    {
        (kernel, stride, padding) = (weight.Shape[1], op.Stride, op.Padding);
        (images, height, width, channels) = (output.Shape[0], output.Shape[1], output.Shape[2], output.Shape[3]);
        Shape gradient = dy.Shape;
        if (kernel == 1 && stride == 1 && height * width <= JoinedPixels)
        {
            (images, height, width) = (1, images, height * width);
            gradient = [1, height, width, gradient[3]];
        }
        source = new ConvSource<S, V>(context.Pointer(dy), gradient);
        dx = context.Pointer(output);
        left = Taps(0) - 1;
        right = Math.Max(0, (width - 1 + padding) / stride - (source.Width - 1));

        classes = [.. Enumerable.Range(0, stride * stride)
            .Select(i => WeightMatrix.Transposed(weight.Shape, TapsOf(i / stride, i % stride)))];
        classStart = new long[classes.Length + 1];
        for (int i = 0; i < classes.Length; i++)
            classStart[i + 1] = classStart[i] + PackedMatrix.Count(classes[i].Rows, channels, MicroKernel<S, V>.Columns);

        int stripRows = StripFloats / Math.Max(1, StripWidth * source.Channels);
        rowsPerTask = Math.Clamp((stripRows - left) * stride, 1, Math.Max(1, height));
        tasksPerImage = (height + rowsPerTask - 1) / rowsPerTask;
        rowsPerTask = tasksPerImage == 0 ? 1 : (height + tasksPerImage - 1) / tasksPerImage;
        BindWeight(weight, classStart[^1], context);
    }

    public override string Description => $"conv2d {kernel}x{kernel} gradient by input, direct";

    public override long ScratchBytes => 4L * (StripCount + MicroKernel<S, V>.MaxRows * MicroKernel<S, V>.Columns + 64);

    protected override int PackTasks => classes.Length * Panels;

    protected override int ComputeTasks => images * tasksPerImage;

    private int Panels => PackedMatrix.Panels(channels, MicroKernel<S, V>.Columns);

    private int StripWidth => left + source.Width + right;

    // The last tile of a row may read beyond it.
    private int StripCount => (((rowsPerTask + stride - 1) / stride + left + 2) * StripWidth + MicroKernel<S, V>.MaxRows) * source.Channels;

    protected override void Pack(int task, float* weight, float* destination)
    {
        (int index, int panel) = (task / Panels, task % Panels);
        int columns = MicroKernel<S, V>.Columns;
        classes[index].PackPanel(
            weight, panel * columns, columns, destination + classStart[index] + (nint)panel * classes[index].Rows * columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Compute(int task, float* scratch)
    {
        int n = task / tasksPerImage;
        int firstRow = task % tasksPerImage * rowsPerTask;
        int rows = Math.Min(rowsPerTask, height - firstRow);
        int columns = MicroKernel<S, V>.Columns;
        float* tile = scratch;
        float* strip = tile + MicroKernel<S, V>.MaxRows * columns;
        nint stripRow = (nint)StripWidth * source.Channels;

        int firstStripRow = (firstRow + padding) / stride - left;
        int lastStripRow = (firstRow + rows - 1 + padding) / stride;
        for (int y = firstStripRow; y <= lastStripRow; y++) source.LoadRow(n, y, strip + (y - firstStripRow) * stripRow, left, right);

        for (int first = 0; first < channels; first += columns)
        {
            int count = Math.Min(columns, channels - first);
            for (int y = firstRow; y < firstRow + rows; y++)
            {
                int classRow = (y + padding) % stride;
                float* row = strip + ((y + padding) / stride - Taps(classRow) + 1 - firstStripRow) * stripRow;
                for (int classColumn = 0; classColumn < stride; classColumn++)
                {
                    int x = ((classColumn - padding) % stride + stride) % stride;
                    float* a = row + (nint)((x + padding) / stride - Taps(classColumn) + 1 + left) * source.Channels;
                    int index = classRow * stride + classColumn;
                    float* b = Weights + classStart[index] + (nint)first * classes[index].Rows;
                    float* to = dx + (((nint)n * height + y) * width + x) * channels + first;
                    Row(a, Taps(classRow), stripRow, Taps(classColumn) * source.Channels, b, tile,
                        (width - x + stride - 1) / stride, to, count);
                }
            }
        }
    }

    // Pixels of one class in one row; where the class has no taps, sums of nothing.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Row(float* a, int segments, nint stripRow, int k, float* b, float* tile, int pixels, float* to, int count)
    {
        int columns = MicroKernel<S, V>.Columns;
        nint step = (nint)stride * channels;
        for (int p = 0; p < pixels;)
        {
            int tileRows = MicroKernel<S, V>.RowsFor(pixels - p);
            int valid = Math.Min(tileRows, pixels - p);
            bool whole = valid == tileRows && count == columns;
            MicroKernel<S, V>.Run(tileRows, a + (nint)p * source.Channels, source.Channels, segments, stripRow, k, b, whole ? to
                : tile, whole ? step : columns);
            for (int i = 0; i < valid && !whole; i++)
                new Span<float>(tile + i * columns, count).CopyTo(new Span<float>(to + i * step, count));
            p += valid;
            to += valid * step;
        }
    }

    // Taps that rows or columns of a class see.
    private int Taps(int remainder) => remainder < kernel ? (kernel - 1 - remainder) / stride + 1 : 0;

    // From the last tap to the first, because dy's rows and columns run the other way.
    private IEnumerable<int> TapsOf(int classRow, int classColumn) =>
        from j in Enumerable.Range(0, Taps(classRow)).Reverse()
        from i in Enumerable.Range(0, Taps(classColumn)).Reverse()
        select (classRow + j * stride) * kernel + classColumn + i * stride;
}
