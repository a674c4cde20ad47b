using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

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
        var values = Vector256.Load(taps + tap * FilterGroup);
        return Vector512.Create(Vector256.WidenLower(values), Vector256.WidenUpper(values));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(
        Vector512<double> g0, Vector512<double> g1, Vector512<double> g2, Vector512<double>* destination, int stride)
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

/// <summary>The transforms of tiles, a vector of channels at a time.</summary>
internal static unsafe class WinogradTransform<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int InTile = Winograd.InTile;
    private const int OutTile = Winograd.OutTile;

    /// <summary>B^T d B of one vector of channels of a 6x6 tile.</summary>
    /// <param name="source">The tile's corner.</param>
    /// <param name="row">Floats between rows of pixels.</param>
    /// <param name="column">Floats between pixels.</param>
    /// <param name="destination">36 vectors.</param>
    /// <param name="stride">Floats between them.</param>
    /// <param name="temporary">Memory for 36 vectors.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Input(float* source, nint row, nint column, float* destination, nint stride, float* temporary)
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
            Input(S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes), S.Load(t + 4 * S.Lanes),
                S.Load(t + 5 * S.Lanes),
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

    /// <summary>One multiplication by A^T.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Output(V m0, V m1, V m2, V m3, V m4, V m5, out V y0, out V y1, out V y2, out V y3)
    {
        V sumA = S.Add(m1, m2), differenceA = S.Subtract(m1, m2), sumB = S.Add(m3, m4), differenceB = S.Subtract(m3, m4);
        y0 = S.Add(m0, S.Add(sumA, sumB));
        y1 = S.MultiplyAdd(S.Splat(Winograd.A), differenceA, S.Multiply(S.Splat(Winograd.B), differenceB));
        y2 = S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A), sumA, S.Multiply(S.Splat(Winograd.B * Winograd.B), sumB));
        y3 = S.Add(m5, S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A * Winograd.A), differenceA,
            S.Multiply(S.Splat(Winograd.B * Winograd.B * Winograd.B), differenceB)));
    }

    /// <summary>A dy A^T of one vector of channels of a 4x4 tile of a result's gradient: the transpose of <see cref="Output"/>.</summary>
    /// <inheritdoc cref="Input(float*, nint, nint, float*, nint, float*)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Gradient(float* source, nint row, nint column, float* destination, nint stride, float* temporary)
    {
        for (int j = 0; j < OutTile; j++)
        {
            float* d = source + j * column;
            Gradient(S.Load(d), S.Load(d + row), S.Load(d + 2 * row), S.Load(d + 3 * row), temporary + j * S.Lanes, OutTile * S.Lanes);
        }
        for (int i = 0; i < InTile; i++)
        {
            float* t = temporary + i * OutTile * S.Lanes;
            Gradient(S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes),
                destination + i * InTile * stride, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Gradient(V y0, V y1, V y2, V y3, float* destination, nint stride)
    {
        V evenA = S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A), y2, y0);
        V oddA = S.MultiplyAdd(S.Splat(Winograd.A * Winograd.A * Winograd.A), y3, S.Multiply(S.Splat(Winograd.A), y1));
        V evenB = S.MultiplyAdd(S.Splat(Winograd.B * Winograd.B), y2, y0);
        V oddB = S.MultiplyAdd(S.Splat(Winograd.B * Winograd.B * Winograd.B), y3, S.Multiply(S.Splat(Winograd.B), y1));
        S.Store(y0, destination);
        S.Store(S.Add(evenA, oddA), destination + stride);
        S.Store(S.Subtract(evenA, oddA), destination + 2 * stride);
        S.Store(S.Add(evenB, oddB), destination + 3 * stride);
        S.Store(S.Subtract(evenB, oddB), destination + 4 * stride);
        S.Store(y3, destination + 5 * stride);
    }

    /// <summary>
    /// G^T m G of one vector of channels: from 36 products to the gradients of 9 taps, the transpose of the filters' transform.
    /// </summary>
    /// <param name="source">36 vectors.</param>
    /// <param name="stride">Floats between them.</param>
    /// <param name="destination">9 vectors, one after another.</param>
    /// <param name="temporary">Memory for 18 vectors.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Filter(float* source, nint stride, float* destination, float* temporary)
    {
        for (int j = 0; j < InTile; j++)
        {
            float* m = source + j * stride;
            Filter(S.Load(m), S.Load(m + InTile * stride), S.Load(m + 2 * InTile * stride), S.Load(m + 3 * InTile * stride),
                S.Load(m + 4 * InTile * stride), S.Load(m + 5 * InTile * stride), temporary + j * S.Lanes, InTile * S.Lanes);
        }
        for (int i = 0; i < 3; i++)
        {
            float* t = temporary + i * InTile * S.Lanes;
            Filter(S.Load(t), S.Load(t + S.Lanes), S.Load(t + 2 * S.Lanes), S.Load(t + 3 * S.Lanes), S.Load(t + 4 * S.Lanes),
                S.Load(t + 5 * S.Lanes), destination + i * 3 * S.Lanes, S.Lanes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Filter(V m0, V m1, V m2, V m3, V m4, V m5, float* destination, nint stride)
    {
        const double a2 = (double)Winograd.A * Winograd.A, b2 = (double)Winograd.B * Winograd.B;
        const double atA = 1 / (2 * a2 * (a2 - b2)), atB = 1 / (2 * b2 * (b2 - a2));
        V sumA = S.Add(m1, m2), differenceA = S.Subtract(m1, m2), sumB = S.Add(m3, m4), differenceB = S.Subtract(m3, m4);
        S.Store(S.MultiplyAdd(S.Splat((float)(1 / (a2 * b2))), m0,
            S.MultiplyAdd(S.Splat((float)atA), sumA, S.Multiply(S.Splat((float)atB), sumB))), destination);
        S.Store(S.MultiplyAdd(S.Splat((float)(Winograd.A * atA)), differenceA, S.Multiply(S.Splat((float)(Winograd.B * atB)), differenceB)),
            destination + stride);
        S.Store(S.Add(m5, S.MultiplyAdd(S.Splat((float)(a2 * atA)), sumA, S.Multiply(S.Splat((float)(b2 * atB)), sumB))),
            destination + 2 * stride);
    }
}
