using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Gradient of a convolution by its weight.</summary>
internal sealed class Conv2dGradWeightKernel : CpuKernel<Conv2dGradWeight>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        var op = (Conv2dGradWeight)node.Operator;
        (Value x, Value dy) = (node.Input(Conv2dGradWeight.X), node.Input(Conv2dGradWeight.Dy));
        if (op.Stride == 1 && op.Padding == 1 && Conv2dGradWeightWinograd<S, V>.Suits(node.Output.Shape, dy.Shape))
            return new Conv2dGradWeightWinograd<S, V>(x, dy, node.Output, context);
        return new Conv2dGradWeightDirect<S, V>(op, x, x.Shape, dy, dy.Shape, node.Output, context);
    }
}

/// <summary>Gradient of a linear layer by its weight: that of a 1x1 convolution of images of one pixel.</summary>
internal sealed class LinearGradWeightKernel : CpuKernel<LinearGradWeight>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        (Value dy, Value x) = (node.Input(LinearGradWeight.Dy), node.Input(LinearGradWeight.X));
        return new Conv2dGradWeightDirect<S, V>(
            new Conv2dGradWeight(1, 1, 0), x, [x.Shape[0], 1, 1, x.Shape[1]], dy, [dy.Shape[0], 1, 1, dy.Shape[1]], node.Output, context);
    }
}

/// <summary>
/// dw [O, J] = dy^T [O, P] im2col(x) [P, J] with P the output positions of all images and J = taps x channels, the order of dw
/// itself. A part of dw is a group of panels of J: block by block of positions a task packs dy once and the patches of x for
/// each panel, both in the order in which the micro-kernel reads them, so that neither a stride nor the size of an image is
/// seen there.
/// </summary>
internal sealed unsafe class Conv2dGradWeightDirect<S, V> : GradWeightLaunch<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // A block of patches, 24 KiB with AVX-512, stays in a first-level cache with the dy that streams past it, and is long
    // enough that loading and storing the sums costs a fiftieth.
    private const int Block = 192;

    // Packing dy is paid for by so many panels.
    private const int PanelsPerPart = 12;

    // Shares are not made smaller than this.
    private const int LeastBlocks = 4;

    private readonly float* x;
    private readonly float* dy;
    private readonly int kernel;
    private readonly int stride;
    private readonly int padding;
    private readonly int height;
    private readonly int width;
    private readonly int channels;
    private readonly int outHeight;
    private readonly int outWidth;
    private readonly int outputs;
    private readonly int paddedOutputs;
    private readonly int positions;
    private readonly int patch;

    public Conv2dGradWeightDirect(Conv2dGradWeight op, Value x, Shape input, Value dy, Shape gradient, Value dw, CpuContext context)
        : base(dw, Parts(dw.Shape), Blocks(checked(gradient[0] * gradient[1] * gradient[2])) / LeastBlocks, context)
    {
        this.x = context.Pointer(x);
        this.dy = context.Pointer(dy);
        (kernel, stride, padding) = (op.Kernel, op.Stride, op.Padding);
        (height, width, channels) = (input[1], input[2], input[3]);
        (outHeight, outWidth, outputs) = (gradient[1], gradient[2], gradient[3]);
        positions = gradient[0] * outHeight * outWidth;
        patch = kernel * kernel * channels;
        for (int o = 0; o < outputs; o = paddedOutputs) paddedOutputs = o + MicroKernel<S, V>.RowsFor(outputs - o);
    }

    public override string Description => $"conv2d {kernel}x{kernel} gradient by weight, direct";

    public override long ScratchBytes => 4L * (Block * (paddedOutputs + MicroKernel<S, V>.Columns) + PanelsPerPart * SumsCount);

    // Sums of a panel, [O][columns].
    private int SumsCount => paddedOutputs * MicroKernel<S, V>.Columns;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Accumulate(int part, int share, int of, float* sum, float* scratch)
    {
        int columns = MicroKernel<S, V>.Columns;
        int panels = PackedMatrix.Panels(patch, columns), parts = (panels + PanelsPerPart - 1) / PanelsPerPart, blocks = Blocks(positions);
        int firstPanel = panels * part / parts, endPanel = panels * (part + 1) / parts;
        int firstBlock = (int)((long)blocks * share / of), endBlock = (int)((long)blocks * (share + 1) / of);
        float* rows = scratch;
        float* patches = rows + Block * paddedOutputs;
        float* sums = patches + Block * columns;
        if (firstBlock == endBlock) new Span<float>(sums, (endPanel - firstPanel) * SumsCount).Clear();
        for (int block = firstBlock; block < endBlock; block++)
        {
            int first = block * Block, count = Math.Min(Block, positions - first);
            for (int o = 0, width = 0; o < outputs; o += width)
            {
                width = MicroKernel<S, V>.RowsFor(outputs - o);
                PackRows(dy + (nint)first * outputs + o, count, width, outputs - o, rows + o * Block);
            }
            for (int panel = firstPanel; panel < endPanel; panel++)
            {
                PackPatches(first, count, panel * columns, patches);
                float* to = sums + (panel - firstPanel) * SumsCount;
                for (int o = 0, width = 0; o < outputs; o += width)
                {
                    width = MicroKernel<S, V>.RowsFor(outputs - o);
                    MicroKernel<S, V>.Run(width, rows + o * Block, 1, 1, 0, count, patches, to + o * columns, columns,
                        accumulate: block > firstBlock, step: width);
                }
            }
        }
        for (int panel = firstPanel; panel < endPanel; panel++)
        {
            float* from = sums + (panel - firstPanel) * SumsCount;
            int first = panel * columns, count = Math.Min(columns, patch - first);
            for (int o = 0; o < outputs; o++)
                new Span<float>(from + o * columns, count).CopyTo(new Span<float>(sum + (nint)o * patch + first, count));
        }
    }

    private static int Blocks(int positions) => (positions + Block - 1) / Block;

    private static int Parts(Shape weight) =>
        weight[0] == 0 ? 0 : (PackedMatrix.Panels((int)(weight.Count / weight[0]), MicroKernel<S, V>.Columns)
        + PanelsPerPart - 1) / PanelsPerPart;

    // [count][width] of dy, zero beyond the last output.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackRows(float* from, int count, int width, int left, float* to)
    {
        if (width == 12 && left >= 12)
        {
            for (int p = 0; p < count; p++, from += outputs, to += 12)
            {
                var low = Vector256.Load(from);
                var high = Vector128.Load(from + 8);
                low.Store(to);
                high.Store(to + 8);
            }
            return;
        }
        if (width == 8 && left >= 8)
        {
            for (int p = 0; p < count; p++, from += outputs, to += 8) Vector256.Load(from).Store(to);
            return;
        }
        for (int p = 0; p < count; p++, from += outputs, to += width)
            for (int i = 0; i < width; i++) to[i] = i < left ? from[i] : 0;
    }

    // [count][columns] of the patches: columns [column, column + columns) in pieces of one tap each.
    private void PackPatches(int first, int count, int column, float* to)
    {
        int end = Math.Min(column + MicroKernel<S, V>.Columns, patch);
        for (int length; column < end; column += length, to += length)
        {
            (int tap, int channel) = (column / channels, column % channels);
            length = Math.Min(end - column, channels - channel);
            PackTap(first, count, tap / kernel - padding, tap % kernel - padding, channel, length, to);
        }
    }

    // One tap: in each row of outputs, pixels before the image, in it, and after it.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackTap(int first, int count, int down, int across, int channel, int length, float* to)
    {
        // Outputs whose pixel is in the image.
        int begin = Math.Max(0, (stride - 1 - across) / stride), end = (width - across + stride - 1) / stride;
        nint step = (nint)stride * channels;
        for (int p = first; p < first + count;)
        {
            (int line, int ox) = (p / outWidth, p % outWidth);
            int stop = Math.Min(outWidth, ox + first + count - p);
            p += stop - ox;
            int y = line % outHeight * stride + down;
            float* from = x + (((nint)(line / outHeight) * height + y) * width + across) * channels + channel;
            int inside = (uint)y < (uint)height ? Math.Clamp(begin, ox, stop) : stop, after = Math.Clamp(end, inside, stop);
            to = Clear(to, inside - ox, length);
            to = Copy(from + inside * step, step, to, after - inside, length);
            to = Clear(to, stop - after, length);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float* Clear(float* to, int pixels, int length)
    {
        for (; pixels > 0; pixels--, to += MicroKernel<S, V>.Columns) new Span<float>(to, length).Clear();
        return to;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float* Copy(float* from, nint step, float* to, int pixels, int length)
    {
        int columns = MicroKernel<S, V>.Columns;
        if (length == columns)
        {
            for (; pixels > 0; pixels--, from += step, to += columns)
            {
                S.Store(S.Load(from), to);
                S.Store(S.Load(from + S.Lanes), to + S.Lanes);
            }
            return to;
        }
        for (; pixels > 0; pixels--, from += step, to += columns)
        {
            int i = 0;
            for (; i <= length - S.Lanes; i += S.Lanes) S.Store(S.Load(from + i), to + i);
            for (; i < length; i++) to[i] = from[i];
        }
        return to;
    }
}
