using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
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

    public Conv2dWinograd(ConvSource<S, V> source, ConvStore<S, V> store, Shape output, Value weight, WeightMatrix matrix, CpuContext context)
    {
        (this.source, this.store, this.matrix) = (source, store, matrix);
        (images, height, width) = (output[0], output[1], output[2]);
        tileRows = (height + OutTile - 1) / OutTile;
        tileColumns = (width + OutTile - 1) / OutTile;
        int perImage = tileRows * tileColumns;
        // Whole images where they are small, rows of tiles where they are large; at least four tasks if there is as much.
        imagesPerTask = Math.Clamp(Math.Min(TilesPerTask / perImage, images / 4), 1, Math.Max(1, images));
        tileRowsPerTask = imagesPerTask > 1 ? tileRows : Math.Clamp(TilesPerTask * 64 / Math.Max(64, source.Channels) / tileColumns, 1, tileRows);
        stripWidth = tileColumns * OutTile + 2;
        BindWeight(weight, (long)PackedMatrix.Panels(matrix.Columns, MicroKernel<S, V>.Columns) * Positions * matrix.Depth * MicroKernel<S, V>.Columns, context);
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
                    MicroKernel<S, V>.Run(tileRowCount, input + p * InputStride + t * source.Channels, source.Channels, 1, 0, source.Channels, b,
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
        for (; c <= channels - S.Lanes; c += S.Lanes) TransformInput(corner + c, row, channels, destination + c, stride, temporary);
        if (c == channels) return;

        // The last few channels pass through the same vector code in a copy.
        int count = channels - c;
        float* patch = stackalloc float[Positions * S.Lanes];
        float* result = stackalloc float[Positions * S.Lanes];
        for (int p = 0; p < Positions; p++)
            for (int j = 0; j < S.Lanes; j++) patch[p * S.Lanes + j] = j < count ? corner[p / InTile * row + p % InTile * channels + c + j] : 0;
        TransformInput(patch, InTile * S.Lanes, S.Lanes, result, S.Lanes, temporary);
        for (int p = 0; p < Positions; p++)
            for (int j = 0; j < count; j++) destination[p * stride + c + j] = result[p * S.Lanes + j];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformInput(float* source, nint row, nint column, float* destination, nint stride, float* temporary)
    {
        for (int j = 0; j < InTile; j++)
        {
            float* d = source + j * column;
            Input(S.Load(d), S.Load(d + row), S.Load(d + 2 * row), S.Load(d + 3 * row), S.Load(d + 4 * row), S.Load(d + 5 * row),
                temporary + j * S.Lanes, InTile * S.Lanes);
        }
        for (int i = 0; i < InTile; i++)
        {
            float* t = temporary + i * InTile * S.Lanes;
            Input(S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes), S.Load(t + 4 * S.Lanes), S.Load(t + 5 * S.Lanes),
                destination + i * InTile * stride, stride);
        }
    }

    // One multiplication by B^T for the points 0, +-a, +-b, infinity; see Winograd.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Input(V d0, V d1, V d2, V d3, V d4, V d5, float* destination, nint stride)
    {
        V a2 = S.Splat(-Winograd.A * Winograd.A), b2 = S.Splat(-Winograd.B * Winograd.B);
        V sum = S.Splat(-(Winograd.A * Winograd.A + Winograd.B * Winograd.B));
        V product = S.Splat(Winograd.A * Winograd.A * Winograd.B * Winograd.B);
        V evenA = S.MultiplyAdd(b2, d2, d4), oddA = S.Multiply(S.Splat(Winograd.A), S.MultiplyAdd(b2, d1, d3));
        V evenB = S.MultiplyAdd(a2, d2, d4), oddB = S.Multiply(S.Splat(Winograd.B), S.MultiplyAdd(a2, d1, d3));
        S.Store(S.MultiplyAdd(product, d0, S.MultiplyAdd(sum, d2, d4)), destination);
        S.Store(S.Add(evenA, oddA), destination + stride);
        S.Store(S.Subtract(evenA, oddA), destination + 2 * stride);
        S.Store(S.Add(evenB, oddB), destination + 3 * stride);
        S.Store(S.Subtract(evenB, oddB), destination + 4 * stride);
        S.Store(S.MultiplyAdd(product, d1, S.MultiplyAdd(sum, d3, d5)), destination + 5 * stride);
    }

    // A^T m A, stored with bias, embedding, residual and activation.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(float* product, float* temporary, float* addend, int n, int y, int x, int channel)
    {
        nint stride = ProductStride;
        for (int j = 0; j < InTile; j++)
        {
            float* m = product + j * stride;
            Output(S.Load(m), S.Load(m + InTile * stride), S.Load(m + 2 * InTile * stride), S.Load(m + 3 * InTile * stride),
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
            Output(S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes), S.Load(t + 4 * S.Lanes),
                S.Load(t + 5 * S.Lanes), out V y0, out V y1, out V y2, out V y3);
            store.Row(n, y + i, x, columns, channel, y0, y1, y2, y3, addend);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Output(V m0, V m1, V m2, V m3, V m4, V m5, out V y0, out V y1, out V y2, out V y3)
    {
        V sumA = S.Add(m1, m2), differenceA = S.Subtract(m1, m2), sumB = S.Add(m3, m4), differenceB = S.Subtract(m3, m4);
        y0 = S.Add(m0, S.Add(sumA, sumB));
        y1 = S.MultiplyAdd(S.Splat(Winograd.A), differenceA, S.Multiply(S.Splat(Winograd.B), differenceB));
        y2 = S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A), sumA, S.Multiply(S.Splat(Winograd.B * Winograd.B), sumB));
        y3 = S.Add(m5, S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A * Winograd.A), differenceA,
            S.Multiply(S.Splat(Winograd.B * Winograd.B * Winograd.B), differenceB)));
    }

    // Panels of computed channels; in each, for each position, [C][columns].
    protected override void Pack(int task, float* weight, float* destination)
    {
        int columns = MicroKernel<S, V>.Columns, first = task * Winograd.FilterGroup;
        float* panel = destination + (nint)(first / columns) * Positions * matrix.Depth * columns + first % columns;
        Winograd.TransformFilters(weight, matrix, first, panel, columns);
    }
}

/// <summary>
/// The transforms of F(4x4, 3x3) for interpolation points 0, a, -a, b, -b and infinity (Toom-Cook): with
/// M(x) = x (x^2 - a^2) (x^2 - b^2), row j of B^T holds the coefficients of M(x) / (x - p_j), row j of G is
/// (1, p_j, p_j^2) / M'(p_j), column j of A^T is (1, p_j, p_j^2, p_j^3).
/// </summary>
internal static unsafe class Winograd
{
    public const int OutTile = 4;
    public const int InTile = 6;

    public const float A = 0.625f;
    public const float B = 1.5f;

    /// <summary>Output channels that <see cref="TransformFilters"/> takes at once.</summary>
    public const int FilterGroup = 8;

    /// <summary>
    /// Whether the algorithm fits a weight [O, 3, 3, C] and a result [N, H, W, ..] with stride and padding 1, and takes clearly
    /// fewer multiplications than the direct one.
    /// </summary>
    public static bool Suits(Shape weight, Shape output)
    {
        if (weight[1] != 3 || weight[3] < 16 || weight[0] < 16) return false;
        double tiles = Math.Ceiling(output[1] / (double)OutTile) * Math.Ceiling(output[2] / (double)OutTile);
        return tiles * InTile * InTile < 0.6 * 9 * output[1] * output[2];
    }

    /// <summary>G g G^T in double for a group of computed channels and all that are summed over.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="matrix">How its 9 taps are read.</param>
    /// <param name="first">First channel of the group.</param>
    /// <param name="destination">36 matrices [depth][columns], at the group's first column; zero beyond the last channel.</param>
    /// <param name="columns">Floats between rows of a matrix.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TransformFilters(float* weight, WeightMatrix matrix, int first, float* destination, int columns)
    {
        int outputs = Math.Min(FilterGroup, matrix.Columns - first);
        float* taps = stackalloc float[9 * FilterGroup];
        Vector512<double>* half = stackalloc Vector512<double>[InTile * 3];
        Vector512<double>* row = stackalloc Vector512<double>[InTile];
        new Span<float>(taps, 9 * FilterGroup).Clear();
        nint position = (nint)matrix.Depth * columns;
        for (int c = 0; c < matrix.Depth; c++, destination += columns)
        {
            for (int tap = 0; tap < 9; tap++)
                for (int o = 0; o < outputs; o++) taps[tap * FilterGroup + o] = *matrix.Element(weight, tap, c, first + o);
            for (int j = 0; j < 3; j++) Multiply(Tap(taps, j), Tap(taps, 3 + j), Tap(taps, 6 + j), half + j, 3);
            for (int i = 0; i < InTile; i++)
            {
                Multiply(half[i * 3], half[i * 3 + 1], half[i * 3 + 2], row, 1);
                for (int j = 0; j < InTile; j++)
                    Vector256.Narrow(row[j].GetLower(), row[j].GetUpper()).Store(destination + (i * InTile + j) * position);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<double> Tap(float* taps, int tap)
    {
        Vector256<float> values = Vector256.Load(taps + tap * FilterGroup);
        return Vector512.Create(Vector256.WidenLower(values), Vector256.WidenUpper(values));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(Vector512<double> g0, Vector512<double> g1, Vector512<double> g2, Vector512<double>* destination, int stride)
    {
        const double a2 = (double)A * A, b2 = (double)B * B;
        const double atA = 1 / (2 * a2 * (a2 - b2)), atB = 1 / (2 * b2 * (b2 - a2));
        Vector512<double> evenA = (g0 + g2 * a2) * atA, oddA = g1 * (A * atA), evenB = (g0 + g2 * b2) * atB, oddB = g1 * (B * atB);
        destination[0] = g0 * (1 / (a2 * b2));
        destination[stride] = evenA + oddA;
        destination[2 * stride] = evenA - oddA;
        destination[3 * stride] = evenB + oddB;
        destination[4 * stride] = evenB - oddB;
        destination[5 * stride] = g2;
    }
}
