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
        return new GradWeightLaunch<S, V>(op, node.Input(0), node.Input(0).Shape, node.Input(1), node.Input(1).Shape, node.Output, context);
    }
}

/// <summary>Gradient of a linear layer by its weight: that of a 1x1 convolution of images of one pixel.</summary>
internal sealed class LinearGradWeightKernel : CpuKernel<LinearGradWeight>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        (Value dy, Value x) = (node.Input(0), node.Input(1));
        return new GradWeightLaunch<S, V>(
            new Conv2dGradWeight(1, 1, 0), x, [x.Shape[0], 1, 1, x.Shape[1]], dy, [dy.Shape[0], 1, 1, dy.Shape[1]], node.Output, context);
    }
}

/// <summary>
/// dw [O, J] = dy^T [O, P] im2col(x) [P, J] with P the output positions of all images and J = taps x channels, the order of dw
/// itself. A task takes a share of the positions and a group of panels of J: block by block of positions it packs dy once and
/// the patches of x for each panel, both in the order in which the micro-kernel reads them, so that neither a stride nor
/// the size of an image is seen there. The last phase adds the shares in their order.
/// </summary>
internal sealed unsafe class GradWeightLaunch<S, V> : CpuLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // A block of patches, 24 KiB with AVX-512, stays in a first-level cache with the dy that streams past it, and is long
    // enough that loading and storing the sums costs a fiftieth.
    private const int Block = 192;

    // Packing dy is paid for by so many panels.
    private const int PanelsPerTask = 12;

    // Enough for a machine of some cores; a share of positions costs a dw in memory.
    private const int LeastTasks = 16;
    private const int LeastBlocks = 4;

    private readonly float* x;
    private readonly float* dy;
    private readonly float* dw;
    private readonly Workspace workspace;
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
    private readonly int panels;
    private readonly int groups;
    private readonly int shares;

    public GradWeightLaunch(Conv2dGradWeight op, Value x, Shape input, Value dy, Shape gradient, Value dw, CpuContext context)
    {
        this.x = context.Pointer(x);
        this.dy = context.Pointer(dy);
        this.dw = context.Pointer(dw);
        (kernel, stride, padding) = (op.Kernel, op.Stride, op.Padding);
        (height, width, channels) = (input[1], input[2], input[3]);
        (outHeight, outWidth, outputs) = (gradient[1], gradient[2], gradient[3]);
        positions = checked(gradient[0] * outHeight * outWidth);
        patch = kernel * kernel * channels;
        panels = PackedMatrix.Panels(patch, MicroKernel<S, V>.Columns);
        for (int o = 0; o < outputs; o += MicroKernel<S, V>.RowsFor(outputs - o)) paddedOutputs = o + MicroKernel<S, V>.RowsFor(outputs - o);
        groups = (panels + PanelsPerTask - 1) / PanelsPerTask;
        shares = Math.Clamp((LeastTasks + groups - 1) / Math.Max(1, groups), 1, Math.Max(1, Blocks / LeastBlocks));
        workspace = context.Workspace;
        workspace.Reserve(shares * ShareCount);
    }

    public override string Description => $"conv2d {kernel}x{kernel} gradient by weight";

    public override int Phases => 2;

    public override long ScratchBytes => 4L * Block * (paddedOutputs + MicroKernel<S, V>.Columns) + 64;

    private int Blocks => (positions + Block - 1) / Block;

    // Sums of a share: for each panel [O][columns].
    private long ShareCount => (long)panels * paddedOutputs * MicroKernel<S, V>.Columns;

    public override int Tasks(int phase) => phase == 0 ? shares * groups : panels;

    public override void Run(int phase, int task, float* scratch)
    {
        if (phase == 0) Accumulate(task / groups, task % groups, scratch);
        else AddShares(task);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Accumulate(int share, int group, float* scratch)
    {
        int columns = MicroKernel<S, V>.Columns;
        int firstPanel = (int)((long)panels * group / groups), endPanel = (int)((long)panels * (group + 1) / groups);
        int firstBlock = (int)((long)Blocks * share / shares), endBlock = (int)((long)Blocks * (share + 1) / shares);
        nint panelCount = (nint)paddedOutputs * columns;
        float* sums = workspace.Pointer + share * ShareCount;
        float* rows = scratch;
        float* patches = rows + Block * paddedOutputs;
        if (firstBlock == endBlock) new Span<float>(sums + firstPanel * panelCount, (int)((endPanel - firstPanel) * panelCount)).Clear();
        for (int block = firstBlock; block < endBlock; block++)
        {
            int first = block * Block, count = Math.Min(Block, positions - first);
            for (int o = 0; o < paddedOutputs; o += MicroKernel<S, V>.RowsFor(outputs - o))
                PackRows(dy + (nint)first * outputs + o, count, MicroKernel<S, V>.RowsFor(outputs - o), outputs - o, rows + o * Block);
            for (int panel = firstPanel; panel < endPanel; panel++)
            {
                PackPatches(first, count, panel * columns, patches);
                for (int o = 0; o < outputs;)
                {
                    int tileRows = MicroKernel<S, V>.RowsFor(outputs - o);
                    MicroKernel<S, V>.Run(tileRows, rows + o * Block, 1, 1, 0, count, patches, sums + panel * panelCount + (nint)o * columns, columns,
                        accumulate: block > firstBlock, step: tileRows);
                    o += tileRows;
                }
            }
        }
    }

    // [count][width] of dy, zero beyond the last output.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackRows(float* from, int count, int rows, int left, float* to)
    {
        for (int p = 0; p < count; p++, from += outputs, to += rows)
        {
            int i = 0;
            for (; i <= Math.Min(rows, left) - 4; i += 4) Vector128.Load(from + i).Store(to + i);
            for (; i < rows; i++) to[i] = i < left ? from[i] : 0;
        }
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackTap(int first, int count, int dy, int dx, int channel, int length, float* to)
    {
        int columns = MicroKernel<S, V>.Columns;
        for (int p = first; p < first + count;)
        {
            (int line, int ox) = (p / outWidth, p % outWidth);
            int pixels = Math.Min(outWidth - ox, first + count - p);
            int y = line % outHeight * stride + dy;
            float* from = x + (((nint)(line / outHeight) * height + y) * width + dx) * channels + channel;
            p += pixels;
            for (; pixels > 0; pixels--, ox++, to += columns)
            {
                if ((uint)y < (uint)height && (uint)(ox * stride + dx) < (uint)width) Copy(from + (nint)ox * stride * channels, to, length);
                else new Span<float>(to, length).Clear();
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(float* from, float* to, int length)
    {
        int i = 0;
        for (; i <= length - S.Lanes; i += S.Lanes) S.Store(S.Load(from + i), to + i);
        for (; i < length; i++) to[i] = from[i];
    }

    private void AddShares(int panel)
    {
        int columns = MicroKernel<S, V>.Columns, first = panel * columns, count = Math.Min(columns, patch - first);
        for (int o = 0; o < outputs; o++)
        {
            float* from = workspace.Pointer + ((nint)panel * paddedOutputs + o) * columns;
            V left = S.Load(from), right = S.Load(from + S.Lanes);
            for (int share = 1; share < shares; share++)
            {
                from += ShareCount;
                (left, right) = (S.Add(left, S.Load(from)), S.Add(right, S.Load(from + S.Lanes)));
            }
            float* sum = workspace.Pointer + ((nint)panel * paddedOutputs + o) * columns;
            S.Store(left, sum);
            S.Store(right, sum + S.Lanes);
            new Span<float>(sum, count).CopyTo(new Span<float>(dw + (nint)o * patch + first, count));
        }
    }
}
