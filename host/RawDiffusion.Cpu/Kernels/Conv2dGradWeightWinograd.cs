using System.Runtime.CompilerServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Gradient of a 3x3 convolution with stride and padding 1 by its weight, as the transpose of the forward Winograd algorithm:
/// dw = G^T [sum over tiles of (A dy A^T) (B^T x B)] G, 36 products over tiles instead of 9 over pixels, which are 16 to a tile.
/// A part of dw is a block of output and one of input channels, whose 36 sums stay in a second-level cache.
/// </summary>
internal sealed unsafe class Conv2dGradWeightWinograd<S, V> : GradWeightLaunch<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int OutTile = Winograd.OutTile;
    private const int InTile = Winograd.InTile;
    private const int Positions = InTile * InTile;

    // Channels of a part: 36 x 64 x 32 sums take 288 KiB.
    private const int MostOutputs = 64;
    private const int Inputs = 32;

    // Tiles that are transformed before their products are added: fewer would load and store the sums too often.
    private const int Block = 32;

    // Shares are not made smaller than this.
    private const int LeastBlocks = 3;

    // As in the forward convolution.
    private const int Skew = 16;

    private readonly float* x;
    private readonly float* dy;
    private readonly int height;
    private readonly int width;
    private readonly int channels;
    private readonly int outputs;
    private readonly int tileRows;
    private readonly int tileColumns;
    private readonly int tiles;
    private readonly int outputsPerPart;

    public Conv2dGradWeightWinograd(Value x, Value dy, Value dw, CpuContext context)
        : base(dw, OutputBlocks(dw.Shape) * InputBlocks(dw.Shape), Blocks(Tiles(dy.Shape)) / LeastBlocks, context)
    {
        this.x = context.Pointer(x);
        this.dy = context.Pointer(dy);
        (height, width, channels, outputs) = (dy.Shape[1], dy.Shape[2], dw.Shape[3], dw.Shape[0]);
        tileRows = (height + OutTile - 1) / OutTile;
        tileColumns = (width + OutTile - 1) / OutTile;
        tiles = Tiles(dy.Shape);
        int blocks = OutputBlocks(dw.Shape);
        outputsPerPart = ((outputs + blocks - 1) / blocks + 15) / 16 * 16;
    }

    public override string Description => "conv2d 3x3 gradient by weight, winograd";

    public override long ScratchBytes => 4L * (Positions * ((long)InputStride + GradientStride + SumStride) + 2 * Positions * S.Lanes + 64);

    private static int InputStride => Block * Inputs + Skew;

    // The last register tile may read and write rows beyond the last output.
    private int GradientStride => Block * outputsPerPart + Skew;

    private int SumStride => (outputsPerPart + MicroKernel<S, V>.MaxRows) * Inputs + Skew;

    /// <summary>Whether the algorithm fits a weight and a result's gradient, and its blocks of channels are nearly full.</summary>
    public static bool Suits(Shape weight, Shape gradient) =>
        Winograd.Suits(weight, gradient) && weight[3] >= 0.7 * Inputs * InputBlocks(weight);

    protected override void Accumulate(int part, int share, int of, float* sum, float* scratch)
    {
        int inputBlocks = (channels + Inputs - 1) / Inputs;
        int firstOutput = part / inputBlocks * outputsPerPart, firstInput = part % inputBlocks * Inputs;
        int outputCount = Math.Min(outputsPerPart, outputs - firstOutput), inputCount = Math.Min(Inputs, channels - firstInput);
        int firstBlock = (int)((long)Blocks(tiles) * share / of), endBlock = (int)((long)Blocks(tiles) * (share + 1) / of);
        float* temporary = scratch;
        float* patch = temporary + Positions * S.Lanes;
        float* input = patch + Positions * S.Lanes;
        float* gradient = input + Positions * InputStride;
        float* sums = gradient + Positions * GradientStride;
        if (firstBlock == endBlock) new Span<float>(sums, Positions * SumStride).Clear();
        for (int block = firstBlock; block < endBlock; block++)
        {
            int first = block * Block, count = Math.Min(Block, tiles - first);
            for (int t = 0; t < count; t++)
                Transform(first + t, t, firstInput, inputCount, firstOutput, outputCount, input, gradient, patch, temporary);
            Multiply(count, outputCount, input, gradient, sums, accumulate: block > firstBlock);
        }
        Finish(firstOutput, outputCount, firstInput, inputCount, sums, sum, patch, temporary);
    }

    private static int Tiles(Shape gradient) =>
        checked(gradient[0] * ((gradient[1] + OutTile - 1) / OutTile) * ((gradient[2] + OutTile - 1) / OutTile));

    private static int Blocks(int tiles) => (tiles + Block - 1) / Block;

    private static int OutputBlocks(Shape weight) => (weight[0] + MostOutputs - 1) / MostOutputs;

    private static int InputBlocks(Shape weight) => (weight[3] + Inputs - 1) / Inputs;

    // One tile of both operands. Inputs in panels [tiles][columns], gradients [tiles][outputs of the part].
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Transform(
        int tile, int t, int firstInput, int inputCount, int firstOutput, int outputCount, float* input, float* gradient, float* patch,
            float* temporary)
    {
        int columns = MicroKernel<S, V>.Columns;
        int n = tile / (tileRows * tileColumns), y = tile / tileColumns % tileRows * OutTile, left = tile % tileColumns * OutTile;
        bool inside = y >= 1 && left >= 1 && y + OutTile < height && left + OutTile < width;
        for (int c = 0; c < inputCount; c += S.Lanes)
        {
            float* to = input + c / columns * Block * columns + t * columns + c % columns;
            float* from = x + (nint)n * height * width * channels + firstInput + c;
            if (inside && c + S.Lanes <= inputCount)
            {
                WinogradTransform<S, V>.Input(from + ((nint)(y - 1) * width + left - 1) * channels, (nint)width * channels, channels, to,
                    InputStride, temporary);
                continue;
            }
            LoadPatch(from, channels, y - 1, left - 1, InTile, inputCount - c, patch);
            WinogradTransform<S, V>.Input(patch, InTile * S.Lanes, S.Lanes, to, InputStride, temporary);
        }
        inside = y + OutTile <= height && left + OutTile <= width;
        for (int o = 0; o < outputCount; o += S.Lanes)
        {
            float* to = gradient + t * outputsPerPart + o;
            float* from = dy + (nint)n * height * width * outputs + firstOutput + o;
            if (inside && o + S.Lanes <= outputCount)
            {
                WinogradTransform<S, V>.Gradient(
                    from + ((nint)y * width + left) * outputs, (nint)width * outputs, outputs, to, GradientStride, temporary);
                continue;
            }
            LoadPatch(from, outputs, y, left, OutTile, outputCount - o, patch);
            WinogradTransform<S, V>.Gradient(patch, OutTile * S.Lanes, S.Lanes, to, GradientStride, temporary);
        }
    }

    // One vector of channels of size x size pixels, zero outside the image and beyond the last channel.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadPatch(float* image, int stride, int top, int left, int size, int count, float* patch)
    {
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++, patch += S.Lanes)
            {
                if ((uint)(top + i) >= (uint)height || (uint)(left + j) >= (uint)width)
                {
                    S.Store(S.Zero, patch);
                    continue;
                }
                float* from = image + ((nint)(top + i) * width + left + j) * stride;
                if (count >= S.Lanes) S.Store(S.Load(from), patch);
                else for (int c = 0; c < S.Lanes; c++) patch[c] = c < count ? from[c] : 0;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(int count, int outputCount, float* input, float* gradient, float* sums, bool accumulate)
    {
        int columns = MicroKernel<S, V>.Columns;
        for (int p = 0; p < Positions; p++, input += InputStride, gradient += GradientStride, sums += SumStride)
        {
            for (int c = 0; c < Inputs; c += columns)
            {
                for (int o = 0; o < outputCount;)
                {
                    int rows = MicroKernel<S, V>.RowsFor(outputCount - o);
                    MicroKernel<S, V>.Run(rows, gradient + o, 1, 1, 0, count, input + c * Block, sums + (nint)o * Inputs + c, Inputs,
                        accumulate, outputsPerPart);
                    o += rows;
                }
            }
        }
    }

    // G^T m G of each pair of channels.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Finish(int firstOutput, int outputCount, int firstInput, int inputCount, float* sums, float* gradient, float* taps,
        float* temporary)
    {
        for (int o = 0; o < outputCount; o++)
        {
            for (int c = 0; c < inputCount; c += S.Lanes)
            {
                WinogradTransform<S, V>.Filter(sums + o * Inputs + c, SumStride, taps, temporary);
                float* to = gradient + (nint)(firstOutput + o) * 9 * channels + firstInput + c;
                int count = Math.Min(S.Lanes, inputCount - c);
                for (int tap = 0; tap < 9; tap++)
                    new Span<float>(taps + tap * S.Lanes, count).CopyTo(new Span<float>(to + tap * channels, count));
            }
        }
    }
}
