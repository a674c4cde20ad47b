using System.Runtime.CompilerServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// 3x3 convolution, stride 1, padding 1, by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2015): each 4x4 tile
/// of outputs takes 36 multiplications for each pair of channels instead of 144. A task takes a group of tiles: input
/// transform into 36 matrices [tiles, C], 36 products with the transformed weights [C, O], output transform.
/// </summary>
internal sealed unsafe class Conv2dWinograd<S, V> : WeightedLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int OutTile = Winograd.OutTile;
    private const int InTile = Winograd.InTile;
    private const int Positions = InTile * InTile;

    // Tiles of a task: enough that a panel of weights, once fetched, serves several register tiles, few enough that
    // transformed inputs stay in a second-level cache.
    private const int TilesPerTask = 32;

    // A stride that is a multiple of 4 KiB would map all 36 positions to the same few cache lines.
    private const int Skew = 16;

    private readonly ConvSource<S, V> source;
    private readonly ConvStore<S, V> store;
    private readonly WeightMatrix matrix;
    private readonly int images;
    private readonly int height;
    private readonly int width;
    private readonly int tileRows;
    private readonly int tileColumns;
    private readonly int tileRowsPerTask;
    private readonly int imagesPerTask;
    private readonly int stripWidth;

    public Conv2dWinograd(ConvSource<S, V> source, ConvStore<S, V> store, Shape output, Value weight, WeightMatrix matrix,
        CpuContext context)
    {
        (this.source, this.store, this.matrix) = (source, store, matrix);
        (images, height, width) = (output[0], output[1], output[2]);
        tileRows = (height + OutTile - 1) / OutTile;
        tileColumns = (width + OutTile - 1) / OutTile;
        int perImage = tileRows * tileColumns;
        // Whole images where they are small, rows of tiles where they are large; at least four tasks if there is as much.
        imagesPerTask = Math.Clamp(Math.Min(TilesPerTask / perImage, images / 4), 1, Math.Max(1, images));
        tileRowsPerTask = imagesPerTask > 1 ? tileRows
            : Math.Clamp(TilesPerTask * 64 / Math.Max(64, source.Channels) / tileColumns, 1, tileRows);
        stripWidth = tileColumns * OutTile + 2;
        BindWeight(weight, (long)PackedMatrix.Panels(
            matrix.Columns, MicroKernel<S, V>.Columns) * Positions * matrix.Depth * MicroKernel<S, V>.Columns, context);
    }

    public override string Description => "conv2d 3x3 winograd";

    public override long ScratchBytes => 4L * (StripCount + store.AddendCount + InputCount + ProductCount + Positions * S.Lanes + 64);

    private int MaxTiles => imagesPerTask * tileRowsPerTask * tileColumns;

    // Register tiles may cover rows beyond the last tile.
    private int PaddedTiles => MaxTiles + MicroKernel<S, V>.MaxRows;

    private int InputStride => PaddedTiles * source.Channels + Skew;

    private int ProductStride => PaddedTiles * MicroKernel<S, V>.Columns + Skew;

    private long InputCount => (long)Positions * InputStride;

    private long ProductCount => (long)Positions * ProductStride;

    private int StripRows => tileRowsPerTask * OutTile + 2;

    private long StripCount => (long)StripRows * stripWidth * source.Channels;

    private int TasksPerImage => (tileRows + tileRowsPerTask - 1) / tileRowsPerTask;

    // Computed channels in groups that are neighbours in a panel; a panel's width is a multiple of a group's.
    protected override int PackTasks => (matrix.Columns + Winograd.FilterGroup - 1) / Winograd.FilterGroup;

    protected override int ComputeTasks => imagesPerTask > 1 ? (images + imagesPerTask - 1) / imagesPerTask : images * TasksPerImage;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Compute(int task, float* scratch)
    {
        int firstImage = imagesPerTask > 1 ? task * imagesPerTask : task / TasksPerImage;
        int imageCount = Math.Min(imagesPerTask, images - firstImage);
        int firstRow = imagesPerTask > 1 ? 0 : task % TasksPerImage * tileRowsPerTask;
        int rows = Math.Min(tileRowsPerTask, tileRows - firstRow);
        int perImage = rows * tileColumns;
        float* addend = scratch;
        float* temporary = addend + store.AddendCount;
        float* input = temporary + Positions * S.Lanes;
        float* product = input + InputCount;
        float* strip = product + ProductCount;

        for (int i = 0; i < imageCount; i++)
        {
            LoadStrip(firstImage + i, firstRow, rows, strip);
            for (int t = 0; t < perImage; t++)
                TransformInput(strip, t / tileColumns, t % tileColumns, input + (i * perImage + t) * source.Channels, temporary);
        }

        int tiles = imageCount * perImage;
        int columns = MicroKernel<S, V>.Columns;
        nint panel = (nint)source.Channels * columns;
        float* b = Weights;
        for (int first = 0; first < store.Channels; first += columns)
        {
            for (int p = 0; p < Positions; p++, b += panel)
            {
                for (int t = 0; t < tiles;)
                {
                    int tileRowCount = MicroKernel<S, V>.RowsFor(tiles - t);
                    MicroKernel<S, V>.Run(tileRowCount, input + p * InputStride + t * source.Channels, source.Channels, 1, 0,
                        source.Channels, b,
                        product + p * ProductStride + t * columns, columns);
                    t += tileRowCount;
                }
            }
            for (int i = 0; i < imageCount; i++)
            {
                if (imageCount > 1 || first == 0) store.LoadAddend(firstImage + i, addend);
                for (int t = 0; t < perImage; t++)
                {
                    for (int c = 0; c < columns && first + c < store.Channels; c += S.Lanes)
                    {
                        TransformOutput(product + (i * perImage + t) * columns + c, temporary, addend, firstImage + i,
                            (firstRow + t / tileColumns) * OutTile, t % tileColumns * OutTile, first + c);
                    }
                }
            }
        }
    }

    private void LoadStrip(int n, int firstRow, int rows, float* strip)
    {
        for (int r = 0; r < rows * OutTile + 2; r++)
            source.LoadRow(n, firstRow * OutTile - 1 + r, strip + (nint)r * stripWidth * source.Channels, 1, stripWidth - 1 - source.Width);
    }

    // B^T d B: columns into a temporary, then rows into the 36 matrices.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformInput(float* strip, int tileRow, int tileColumn, float* destination, float* temporary)
    {
        int channels = source.Channels;
        nint row = (nint)stripWidth * channels;
        nint stride = InputStride;
        float* corner = strip + tileRow * OutTile * row + tileColumn * OutTile * channels;
        int c = 0;
        for (; c <= channels - S.Lanes; c += S.Lanes)
            WinogradTransform<S, V>.Input(corner + c, row, channels, destination + c, stride, temporary);
        if (c == channels) return;

        // The last few channels pass through the same vector code in a copy.
        int count = channels - c;
        float* patch = stackalloc float[Positions * S.Lanes];
        float* result = stackalloc float[Positions * S.Lanes];
        for (int p = 0; p < Positions; p++)
        {
            for (int j = 0; j < S.Lanes; j++)
                patch[p * S.Lanes + j] = j < count ? corner[p / InTile * row + p % InTile * channels + c + j] : 0;
        }

        WinogradTransform<S, V>.Input(patch, InTile * S.Lanes, S.Lanes, result, S.Lanes, temporary);
        for (int p = 0; p < Positions; p++)
            for (int j = 0; j < count; j++) destination[p * stride + c + j] = result[p * S.Lanes + j];
    }

    // A^T m A, stored with bias, embedding, residual and activation.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(float* product, float* temporary, float* addend, int n, int y, int x, int channel)
    {
        nint stride = ProductStride;
        for (int j = 0; j < InTile; j++)
        {
            float* m = product + j * stride;
            WinogradTransform<S, V>.Output(
                S.Load(m), S.Load(m + InTile * stride), S.Load(m + 2 * InTile * stride), S.Load(m + 3 * InTile * stride),
                S.Load(m + 4 * InTile * stride), S.Load(m + 5 * InTile * stride), out V y0, out V y1, out V y2, out V y3);
            S.Store(y0, temporary + j * S.Lanes);
            S.Store(y1, temporary + (InTile + j) * S.Lanes);
            S.Store(y2, temporary + (2 * InTile + j) * S.Lanes);
            S.Store(y3, temporary + (3 * InTile + j) * S.Lanes);
        }
        int rows = Math.Min(OutTile, height - y), columns = Math.Min(OutTile, width - x);
        for (int i = 0; i < rows; i++)
        {
            float* t = temporary + i * InTile * S.Lanes;
            WinogradTransform<S, V>.Output(
                S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes), S.Load(t + 4 * S.Lanes),
                S.Load(t + 5 * S.Lanes), out V y0, out V y1, out V y2, out V y3);
            store.Row(n, y + i, x, columns, channel, y0, y1, y2, y3, addend);
        }
    }

    // Panels of computed channels; in each, for each position, [C][columns].
    protected override void Pack(int task, float* weight, float* destination)
    {
        int columns = MicroKernel<S, V>.Columns, first = task * Winograd.FilterGroup;
        float* panel = destination + (nint)(first / columns) * Positions * matrix.Depth * columns + first % columns;
        Winograd.TransformFilters(weight, matrix, first, panel, columns);
    }
}
