using System.Numerics;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Integer arithmetic of which each type does the same.</summary>
internal interface IInteger2
{
    static abstract T Apply<T>(T a, T b)
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>;

    static abstract Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b);
}

/// <summary>The operations as types, so that the compiler makes a loop for each.</summary>
internal static class IntegerOperations
{
    public readonly struct Add : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a + b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a + b;
    }

    public readonly struct Subtract : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a - b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a - b;
    }

    public readonly struct MultiplyLow : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a * b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a * b;
    }

    public readonly struct Minimum : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => T.Min(a, b);

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.Min(a, b);
    }

    public readonly struct Maximum : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => T.Max(a, b);

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.Max(a, b);
    }

    public readonly struct And : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a & b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a & b;
    }

    public readonly struct Or : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a | b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a | b;
    }

    public readonly struct Xor : IInteger2
    {
        public static T Apply<T>(T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => a ^ b;

        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => a ^ b;
    }

    public readonly struct SaturatingAdd : IBinary<int, int, int>
    {
        public static int Apply(int a, int b) => (int)Math.Clamp((long)a + b, int.MinValue, int.MaxValue);
    }

    public readonly struct SaturatingSubtract : IBinary<int, int, int>
    {
        public static int Apply(int a, int b) => (int)Math.Clamp((long)a - b, int.MinValue, int.MaxValue);
    }

    /// <summary>Division by zero gives all ones, as the hardware's sequence happens to.</summary>
    public readonly struct Divide<T> : IBinary<T, T, T>
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b) => b == T.Zero ? ~T.Zero : Overflows(a, b) ? a : a / b;

        public static bool Overflows(T a, T b) => T.MinValue != T.Zero && a == T.MinValue && b == ~T.Zero;
    }

    public readonly struct Remainder<T> : IBinary<T, T, T>
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b) => b == T.Zero ? a : Divide<T>.Overflows(a, b) ? T.Zero : a % b;
    }

    /// <summary>The upper half of the product, through a type that holds all of it.</summary>
    public readonly struct MultiplyHigh<T, TWide> : IBinary<T, T, T>
        where T : unmanaged, IBinaryInteger<T>
        where TWide : unmanaged, IBinaryInteger<TWide>
    {
        public static unsafe T Apply(T a, T b) =>
            T.CreateTruncating((TWide.CreateTruncating(a) * TWide.CreateTruncating(b)) >> (8 * sizeof(T)));
    }

    public readonly struct MultiplyWide<T, TWide> : IBinary<T, T, TWide>
        where T : unmanaged, IBinaryInteger<T>
        where TWide : unmanaged, IBinaryInteger<TWide>
    {
        public static TWide Apply(T a, T b) => TWide.CreateTruncating(a) * TWide.CreateTruncating(b);
    }

    public readonly struct MultiplyAdd<T> : ITernary<T, T, T, T>, IVector3<T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a, T b, T c) => (a * b) + c;

        public static Vector512<T> Apply(Vector512<T> a, Vector512<T> b, Vector512<T> c) => (a * b) + c;
    }

    public readonly struct MultiplyHighAdd<T, TWide> : ITernary<T, T, T, T>
        where T : unmanaged, IBinaryInteger<T>
        where TWide : unmanaged, IBinaryInteger<TWide>
    {
        public static T Apply(T a, T b, T c) => MultiplyHigh<T, TWide>.Apply(a, b) + c;
    }

    public readonly struct MultiplyHighAddSaturating : ITernary<int, int, int, int>
    {
        public static int Apply(int a, int b, int c) => SaturatingAdd.Apply((int)(((long)a * b) >> 32), c);
    }

    public readonly struct MultiplyWideAdd<T, TWide> : ITernary<T, T, TWide, TWide>
        where T : unmanaged, IBinaryInteger<T>
        where TWide : unmanaged, IBinaryInteger<TWide>
    {
        public static TWide Apply(T a, T b, TWide c) => (TWide.CreateTruncating(a) * TWide.CreateTruncating(b)) + c;
    }

    /// <summary>24-bit operands, low or high 32 bits of the 48-bit product.</summary>
    public readonly struct Multiply24<T> : IBinary<T, T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a, T b) => (a << 8 >> 8) * (b << 8 >> 8);
    }

    public readonly struct Multiply24Add<T> : ITernary<T, T, T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a, T b, T c) => Multiply24<T>.Apply(a, b) + c;
    }

    /// <summary>Sum of absolute difference and c.</summary>
    public readonly struct AbsoluteDifference<T> : ITernary<T, T, T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a, T b, T c) => (a > b ? a - b : b - a) + c;
    }

    public readonly struct Absolute<T> : IUnary<T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a) => a < T.Zero ? T.Zero - a : a;
    }

    public readonly struct Negate<T> : IUnary<T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a) => T.Zero - a;
    }

    public readonly struct Not<T> : IUnary<T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a) => ~a;
    }

    /// <summary>1 for zero, else 0.</summary>
    public readonly struct LogicalNot<T> : IUnary<T, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static T Apply(T a) => a == T.Zero ? T.One : T.Zero;
    }

    /// <summary>Shift counts beyond the width shift everything out.</summary>
    public readonly struct ShiftLeft<T> : IBinary<T, uint, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static unsafe T Apply(T a, uint b) => b >= 8 * (uint)sizeof(T) ? T.Zero : a << (int)b;
    }

    public readonly struct ShiftRight<T> : IBinary<T, uint, T>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static unsafe T Apply(T a, uint b) => b >= 8 * (uint)sizeof(T) ? (a < T.Zero ? ~T.Zero : T.Zero) : a >> (int)b;
    }

    /// <summary>shf: 64 bits, a low and b high, shifted by c (wrapped or clamped), upper or lower half.</summary>
    public readonly struct FunnelLeftWrap : ITernary<uint, uint, uint, uint>
    {
        public static uint Apply(uint a, uint b, uint c) => (uint)((((ulong)b << 32 | a) << (int)(c & 31)) >> 32);
    }

    public readonly struct FunnelLeftClamp : ITernary<uint, uint, uint, uint>
    {
        public static uint Apply(uint a, uint b, uint c) => c >= 32 ? a : FunnelLeftWrap.Apply(a, b, c);
    }

    public readonly struct FunnelRightWrap : ITernary<uint, uint, uint, uint>
    {
        public static uint Apply(uint a, uint b, uint c) => (uint)(((ulong)b << 32 | a) >> (int)(c & 31));
    }

    public readonly struct FunnelRightClamp : ITernary<uint, uint, uint, uint>
    {
        public static uint Apply(uint a, uint b, uint c) => c >= 32 ? b : FunnelRightWrap.Apply(a, b, c);
    }
}
