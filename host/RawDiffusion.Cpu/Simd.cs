using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cpu;

/// <summary>
/// The vector operations that kernels are written in. Kernels are generic over it, and since the implementations are
/// structs the JIT compiles each instantiation to straight vector code of that width.
/// </summary>
/// <typeparam name="V">The hardware vector of floats.</typeparam>
internal unsafe interface ISimd<V>
    where V : unmanaged
{
    static abstract int Lanes { get; }
    static abstract V Zero { get; }
    static abstract V Load(float* source);
    static abstract void Store(V value, float* destination);
    static abstract V Splat(float value);
    static abstract V Add(V a, V b);
    static abstract V Subtract(V a, V b);
    static abstract V Multiply(V a, V b);
    static abstract V Divide(V a, V b);

    /// <summary>a * b + c, fused where the hardware can.</summary>
    static abstract V MultiplyAdd(V a, V b, V c);

    /// <summary>The larger; <paramref name="b"/> where either is NaN on x86.</summary>
    static abstract V Max(V a, V b);

    /// <summary>The smaller; <paramref name="b"/> where either is NaN on x86.</summary>
    static abstract V Min(V a, V b);

    /// <summary>0 where value &lt;= 0, else 1, NaN included: the derivative of ReLU.</summary>
    static abstract V Step(V value);

    static abstract V Round(V value);
    static abstract V Sqrt(V value);

    /// <summary>value * 2^n for a vector n of whole numbers in [-126, 127].</summary>
    static abstract V Scale(V value, V n);
    static abstract float Sum(V value);
    static abstract float MaxAcross(V value);
}

internal readonly unsafe struct Simd512 : ISimd<Vector512<float>>
{
    public static int Lanes { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 16; }
    public static Vector512<float> Zero { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => Vector512<float>.Zero; }
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Load(float* source) => Vector512.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> value, float* destination) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Splat(float value) => Vector512.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> a, Vector512<float> b) => a - b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> a, Vector512<float> b) => a * b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Divide(Vector512<float> a, Vector512<float> b) => a / b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
        Vector512.MultiplyAddEstimate(a, b, c);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> a, Vector512<float> b) => Vector512.MaxNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Min(Vector512<float> a, Vector512<float> b) => Vector512.MinNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Step(Vector512<float> value) =>
        Vector512.AndNot(Vector512<float>.One, Vector512.LessThanOrEqual(value, Vector512<float>.Zero));
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> value) => Vector512.Round(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Sqrt(Vector512<float> value) => Vector512.Sqrt(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Scale(Vector512<float> value, Vector512<float> n) =>
        value * ((Vector512.ConvertToInt32Native(n) + Vector512.Create(127)) << 23).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sum(Vector512<float> value) => Vector512.Sum(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector512<float> value) => Simd256.MaxAcross(Vector256.MaxNative(value.GetLower(), value.GetUpper()));
}

internal readonly unsafe struct Simd256 : ISimd<Vector256<float>>
{
    public static int Lanes { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 8; }
    public static Vector256<float> Zero { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => Vector256<float>.Zero; }
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Load(float* source) => Vector256.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* destination) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Splat(float value) => Vector256.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Subtract(Vector256<float> a, Vector256<float> b) => a - b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> a, Vector256<float> b) => a * b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Divide(Vector256<float> a, Vector256<float> b) => a / b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        Vector256.MultiplyAddEstimate(a, b, c);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> a, Vector256<float> b) => Vector256.MaxNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Min(Vector256<float> a, Vector256<float> b) => Vector256.MinNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Step(Vector256<float> value) =>
        Vector256.AndNot(Vector256<float>.One, Vector256.LessThanOrEqual(value, Vector256<float>.Zero));
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Round(Vector256<float> value) => Vector256.Round(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Sqrt(Vector256<float> value) => Vector256.Sqrt(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Scale(Vector256<float> value, Vector256<float> n) =>
        value * ((Vector256.ConvertToInt32Native(n) + Vector256.Create(127)) << 23).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sum(Vector256<float> value) => Vector256.Sum(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector256<float> value) => Simd128.MaxAcross(Vector128.MaxNative(value.GetLower(), value.GetUpper()));
}

internal readonly unsafe struct Simd128 : ISimd<Vector128<float>>
{
    public static int Lanes { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => 4; }
    public static Vector128<float> Zero { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => Vector128<float>.Zero; }
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Load(float* source) => Vector128.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<float> value, float* destination) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Splat(float value) => Vector128.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Add(Vector128<float> a, Vector128<float> b) => a + b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Subtract(Vector128<float> a, Vector128<float> b) => a - b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> a, Vector128<float> b) => a * b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Divide(Vector128<float> a, Vector128<float> b) => a / b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplyAdd(Vector128<float> a, Vector128<float> b, Vector128<float> c) =>
        Vector128.MultiplyAddEstimate(a, b, c);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Max(Vector128<float> a, Vector128<float> b) => Vector128.MaxNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Min(Vector128<float> a, Vector128<float> b) => Vector128.MinNative(a, b);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Step(Vector128<float> value) =>
        Vector128.AndNot(Vector128<float>.One, Vector128.LessThanOrEqual(value, Vector128<float>.Zero));
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Round(Vector128<float> value) => Vector128.Round(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Sqrt(Vector128<float> value) => Vector128.Sqrt(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Scale(Vector128<float> value, Vector128<float> n) =>
        value * ((Vector128.ConvertToInt32Native(n) + Vector128.Create(127)) << 23).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sum(Vector128<float> value) => Vector128.Sum(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector128<float> value)
    {
        var pair = Vector128.MaxNative(value, Vector128.Shuffle(value, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MaxNative(pair, Vector128.Shuffle(pair, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }
}

/// <summary>Functions made of vector operations.</summary>
internal static class SimdMath<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>
    /// e^x to about one unit in the last place: x = n ln 2 + r, e^r by a polynomial of degree 6 on [-ln2/2, ln2/2].
    /// Below -87.3 the result is about 1e-38, not 0, and above 88 it is e^88; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        x = S.Min(S.Splat(88.0f), S.Max(S.Splat(-87.3f), x));
        V n = S.Round(S.Multiply(x, S.Splat(1.44269504f)));
        V r = S.MultiplyAdd(n, S.Splat(-0.693359375f), x);
        r = S.MultiplyAdd(n, S.Splat(2.12194440e-4f), r);
        // Least maximum relative error, 3e-9, with the first two coefficients fixed at 1.
        V p = S.Splat(1.38145394e-3f);
        p = S.MultiplyAdd(p, r, S.Splat(8.36874545e-3f));
        p = S.MultiplyAdd(p, r, S.Splat(4.16683890e-2f));
        p = S.MultiplyAdd(p, r, S.Splat(1.66665211e-1f));
        p = S.MultiplyAdd(p, r, S.Splat(4.99999940e-1f));
        p = S.MultiplyAdd(S.Multiply(p, r), r, S.Add(r, S.Splat(1f)));
        return S.Scale(p, n);
    }

    /// <summary>x * sigmoid(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Silu(V x) => S.Divide(x, S.Add(S.Splat(1f), Exp(S.Subtract(S.Zero, x))));

    /// <summary>
    /// The derivative of x * sigmoid(x): s (1 + x (1 - s)) with s = sigmoid(x). Below -88 it is that at -88, about -1e-36, where
    /// the exponential ends.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V SiluDerivative(V x)
    {
        x = S.Max(S.Splat(-88f), x);
        V one = S.Splat(1f), sigmoid = S.Divide(one, S.Add(one, Exp(S.Subtract(S.Zero, x))));
        return S.Multiply(sigmoid, S.MultiplyAdd(x, S.Subtract(one, sigmoid), one));
    }

    /// <summary>max(x, 0); NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Relu(V x) => S.Max(S.Zero, x);
}
