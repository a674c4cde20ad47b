using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace RawDiffusion.Cpu;

/// <summary>Number of rows of a register tile, as a type, so that the JIT compiles one loop for each.</summary>
internal interface IRows
{
    static abstract int Count { get; }
}

internal readonly struct Rows4 : IRows { public static int Count { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 4; } }
internal readonly struct Rows6 : IRows { public static int Count { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 6; } }
internal readonly struct Rows8 : IRows { public static int Count { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 8; } }
internal readonly struct Rows12 : IRows { public static int Count { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 12; } }

/// <summary>
/// The inner loop of all matrix products: a tile of up to 12 rows by two vectors of columns held in registers,
/// C[rows x 2 lanes] (+)= A[rows x k] B[k x 2 lanes]. A is read where it lies, one broadcast for each row and k; B is
/// packed in panels of two vectors (<see cref="PackedMatrix"/>).
/// </summary>
/// <remarks>
/// With AVX-512, 12 x 32 takes 24 accumulators, two vectors of B and a broadcast: 27 of 32 registers, and 14 loads for 24
/// multiply-adds. Measured on one Zen 5 core at 228-231 GFLOP/s, 8 rows 218-232, 4 rows 190. With 16 registers (AVX2,
/// SSE) 6 x 2 vectors is the largest tile that fits.
/// </remarks>
internal static unsafe class MicroKernel<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Columns of a tile.</summary>
    public static int Columns { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 2 * S.Lanes; }

    /// <summary>Rows of the largest tile.</summary>
    public static int MaxRows { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => S.Lanes >= 16 ? 12 : 6; }

    /// <summary>
    /// Rows of the tile to use when so many are left: never less than what is left unless that is more than a tile, so
    /// a tile may cover rows that do not exist. A must be readable and C writable there.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int RowsFor(int left)
    {
        if (S.Lanes >= 16) return left == 16 ? 8 : left > 8 ? 12 : left > 4 ? 8 : 4;
        return left == 8 ? 4 : left > 4 ? 6 : 4;
    }

    /// <summary>Computes one tile.</summary>
    /// <param name="rows">4, 6, 8 or 12, from <see cref="RowsFor"/>.</param>
    /// <param name="a">First element of the first row.</param>
    /// <param name="rowStride">Floats between rows of A.</param>
    /// <param name="segments">A's k axis is this many runs of evenly spaced elements: 3 for a 3x3 convolution.</param>
    /// <param name="segmentStride">Floats between runs.</param>
    /// <param name="k">Length of a run.</param>
    /// <param name="b">Packed panel, segments * k rows.</param>
    /// <param name="c">Tile of the result.</param>
    /// <param name="ldc">Floats between rows of C.</param>
    /// <param name="accumulate">Add to C instead of overwriting it.</param>
    /// <param name="step">Floats between elements of a run.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(
        int rows, float* a, nint rowStride, int segments, nint segmentStride, int k, float* b, float* c, nint ldc, bool accumulate = false,
            nint step = 1)
    {
        switch (rows)
        {
            case 12: Tile<Rows12>(a, rowStride, segments, segmentStride, k, b, c, ldc, accumulate, step); break;
            case 8: Tile<Rows8>(a, rowStride, segments, segmentStride, k, b, c, ldc, accumulate, step); break;
            case 6: Tile<Rows6>(a, rowStride, segments, segmentStride, k, b, c, ldc, accumulate, step); break;
            default: Tile<Rows4>(a, rowStride, segments, segmentStride, k, b, c, ldc, accumulate, step); break;
        }
    }

    // Written out by hand: an array or a loop over rows would live in memory instead of registers. The four row pointers
    // 3 rows apart let each row be addressed as pointer + {0, 1, 2} * stride, which x86 encodes in one operand.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<R>(float* a, nint s, int segments, nint segmentStride, int k, float* b, float* c, nint ldc,
        bool accumulate, nint step)
        where R : struct, IRows
    {
        V c00 = S.Zero, c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
        V c40 = c00, c41 = c00, c50 = c00, c51 = c00, c60 = c00, c61 = c00, c70 = c00, c71 = c00;
        V c80 = c00, c81 = c00, c90 = c00, c91 = c00, ca0 = c00, ca1 = c00, cb0 = c00, cb1 = c00;
        for (int segment = 0; segment < segments; segment++, a += segmentStride)
        {
            float* a0 = a, a3 = a + 3 * s, a6 = a + 6 * s, a9 = a + 9 * s;
            for (int i = 0; i < k; i++)
            {
                V b0 = S.Load(b), b1 = S.Load(b + S.Lanes);
                b += 2 * S.Lanes;
                V x = S.Splat(*a0); c00 = S.MultiplyAdd(x, b0, c00); c01 = S.MultiplyAdd(x, b1, c01);
                x = S.Splat(*(a0 + s)); c10 = S.MultiplyAdd(x, b0, c10); c11 = S.MultiplyAdd(x, b1, c11);
                x = S.Splat(*(a0 + 2 * s)); c20 = S.MultiplyAdd(x, b0, c20); c21 = S.MultiplyAdd(x, b1, c21);
                x = S.Splat(*a3); c30 = S.MultiplyAdd(x, b0, c30); c31 = S.MultiplyAdd(x, b1, c31);
                if (R.Count > 4)
                {
                    x = S.Splat(*(a3 + s)); c40 = S.MultiplyAdd(x, b0, c40); c41 = S.MultiplyAdd(x, b1, c41);
                    x = S.Splat(*(a3 + 2 * s)); c50 = S.MultiplyAdd(x, b0, c50); c51 = S.MultiplyAdd(x, b1, c51);
                }
                if (R.Count > 6)
                {
                    x = S.Splat(*a6); c60 = S.MultiplyAdd(x, b0, c60); c61 = S.MultiplyAdd(x, b1, c61);
                    x = S.Splat(*(a6 + s)); c70 = S.MultiplyAdd(x, b0, c70); c71 = S.MultiplyAdd(x, b1, c71);
                }
                if (R.Count > 8)
                {
                    x = S.Splat(*(a6 + 2 * s)); c80 = S.MultiplyAdd(x, b0, c80); c81 = S.MultiplyAdd(x, b1, c81);
                    x = S.Splat(*a9); c90 = S.MultiplyAdd(x, b0, c90); c91 = S.MultiplyAdd(x, b1, c91);
                    x = S.Splat(*(a9 + s)); ca0 = S.MultiplyAdd(x, b0, ca0); ca1 = S.MultiplyAdd(x, b1, ca1);
                    x = S.Splat(*(a9 + 2 * s)); cb0 = S.MultiplyAdd(x, b0, cb0); cb1 = S.MultiplyAdd(x, b1, cb1);
                }
                a0 += step;
                a3 += step;
                if (R.Count > 6) a6 += step;
                if (R.Count > 8) a9 += step;
            }
        }
        Put(c00, c01, c, accumulate); c += ldc;
        Put(c10, c11, c, accumulate); c += ldc;
        Put(c20, c21, c, accumulate); c += ldc;
        Put(c30, c31, c, accumulate); c += ldc;
        if (R.Count > 4)
        {
            Put(c40, c41, c, accumulate); c += ldc;
            Put(c50, c51, c, accumulate); c += ldc;
        }
        if (R.Count > 6)
        {
            Put(c60, c61, c, accumulate); c += ldc;
            Put(c70, c71, c, accumulate); c += ldc;
        }
        if (R.Count > 8)
        {
            Put(c80, c81, c, accumulate); c += ldc;
            Put(c90, c91, c, accumulate); c += ldc;
            Put(ca0, ca1, c, accumulate); c += ldc;
            Put(cb0, cb1, c, accumulate);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(V left, V right, float* c, bool accumulate)
    {
        if (accumulate)
        {
            left = S.Add(left, S.Load(c));
            right = S.Add(right, S.Load(c + S.Lanes));
        }
        S.Store(left, c);
        S.Store(right, c + S.Lanes);
    }
}

/// <summary>
/// Layout of the right-hand matrix [k, columns] of a product: panels of <c>width</c> columns, each [k][width], zero
/// beyond the last column, so that the micro-kernel reads it from front to back.
/// </summary>
internal static unsafe class PackedMatrix
{
    /// <summary>Floats that k rows of so many columns take.</summary>
    public static long Count(int k, int columns, int width) => (long)k * Panels(columns, width) * width;

    /// <summary>Number of panels.</summary>
    public static int Panels(int columns, int width) => (columns + width - 1) / width;

    /// <summary>Packs a matrix whose element (row, column) is <c>source[row * rowStride + column * columnStride]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* source, nint rowStride, nint columnStride, int k, int columns, int width, float* destination)
    {
        for (int first = 0; first < columns; first += width, destination += (nint)k * width)
        {
            int count = Math.Min(width, columns - first);
            float* panel = source + first * columnStride;
            if (columnStride == 1) PackRows(panel, rowStride, k, count, width, destination);
            else PackColumns(panel, rowStride, columnStride, k, count, width, destination);
            for (int i = 0; i < k && count < width; i++) new Span<float>(destination + (nint)i * width + count, width - count).Clear();
        }
    }

    private static void PackRows(float* source, nint rowStride, int k, int count, int width, float* destination)
    {
        for (int i = 0; i < k; i++, source += rowStride, destination += width)
            new Span<float>(source, count).CopyTo(new Span<float>(destination, count));
    }

    // A transposition where rowStride is 1: four columns at a time through registers, because reading a column down a
    // strided panel element by element, for attention's keys, took 3.9% of a profile's samples; this takes about 1%.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackColumns(float* source, nint rowStride, nint columnStride, int k, int count, int width, float* destination)
    {
        int j = 0;
        if (rowStride == 1)
        {
            for (; j <= count - 4; j += 4)
            {
                float* r0 = source + j * columnStride, r1 = r0 + columnStride, r2 = r1 + columnStride, r3 = r2 + columnStride;
                float* to = destination + j;
                int i = 0;
                for (; i <= k - 4; i += 4, to += 4 * (nint)width)
                {
                    Transpose(Vector128.Load(r0 + i), Vector128.Load(r1 + i), Vector128.Load(r2 + i), Vector128.Load(r3 + i), to, width);
                }
                for (; i < k; i++, to += width) (to[0], to[1], to[2], to[3]) = (r0[i], r1[i], r2[i], r3[i]);
            }
        }
        for (; j < count; j++)
            for (nint i = 0; i < k; i++) destination[i * width + j] = source[i * rowStride + j * columnStride];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose(
        Vector128<float> r0, Vector128<float> r1, Vector128<float> r2, Vector128<float> r3, float* to, nint stride)
    {
        if (Sse.IsSupported)
        {
            Vector128<float> low01 = Sse.UnpackLow(r0, r1), high01 = Sse.UnpackHigh(r0, r1);
            Vector128<float> low23 = Sse.UnpackLow(r2, r3), high23 = Sse.UnpackHigh(r2, r3);
            Sse.MoveLowToHigh(low01, low23).Store(to);
            Sse.MoveHighToLow(low23, low01).Store(to + stride);
            Sse.MoveLowToHigh(high01, high23).Store(to + 2 * stride);
            Sse.MoveHighToLow(high23, high01).Store(to + 3 * stride);
            return;
        }
        for (int i = 0; i < 4; i++) Vector128.Create(r0[i], r1[i], r2[i], r3[i]).Store(to + i * stride);
    }
}
