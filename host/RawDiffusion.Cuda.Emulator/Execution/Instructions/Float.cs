using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>A modifier as a type, so that each combination is a loop of its own.</summary>
internal interface IFlag
{
    static abstract bool On { get; }
}

internal readonly struct Yes : IFlag
{
    public static bool On => true;
}

internal readonly struct No : IFlag
{
    public static bool On => false;
}

/// <summary>float32 arithmetic, with .ftz (denormals in and out become zero of their sign) and .sat (into [0, 1], NaN to 0).</summary>
internal static unsafe class FloatInstructions
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Flush(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        var denormal = Vector512.Equals(bits & Vector512.Create(0x7F800000u), Vector512<uint>.Zero);
        return Vector512.ConditionalSelect(denormal, bits & Vector512.Create(0x80000000u), bits).AsSingle();
    }

    public static float Flush(float value) => float.IsSubnormal(value) ? MathF.CopySign(0, value) : value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Saturate(Vector512<float> value)
    {
        // Max takes the number where the other is NaN; a negative zero becomes positive.
        var number = Vector512.ConditionalSelect(Vector512.GreaterThan(value, Vector512<float>.Zero), value, Vector512<float>.Zero);
        return Vector512.ConditionalSelect(Vector512.LessThan(number, Vector512<float>.One), number, Vector512<float>.One);
    }

    public static float Saturate(float value) => !(value > 0) ? 0 : value < 1 ? value : 1;

    public static void Float1<TOp, TFlush, TSaturate>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector1<float>
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        byte* pa = warp.At(op->A);
        for (int i = 0; i < 128; i += 64)
        {
            var a = Vector512.Load((float*)(pa + i));
            Vector512<float> result = TOp.Apply(TFlush.On ? Flush(a) : a);
            Finish<TFlush, TSaturate>(result).Store((float*)(target + i));
        }
    }

    public static void Float2<TOp, TFlush, TSaturate>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector2<float>
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        byte* pa = warp.At(op->A);
        byte* pb = warp.At(op->B);
        for (int i = 0; i < 128; i += 64)
        {
            var a = Vector512.Load((float*)(pa + i));
            var b = Vector512.Load((float*)(pb + i));
            Vector512<float> result = TFlush.On ? TOp.Apply(Flush(a), Flush(b)) : TOp.Apply(a, b);
            Finish<TFlush, TSaturate>(result).Store((float*)(target + i));
        }
    }

    public static void Float3<TOp, TFlush, TSaturate>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector3<float>
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        byte* pa = warp.At(op->A);
        byte* pb = warp.At(op->B);
        byte* pc = warp.At(op->C);
        for (int i = 0; i < 128; i += 64)
        {
            var a = Vector512.Load((float*)(pa + i));
            var b = Vector512.Load((float*)(pb + i));
            var c = Vector512.Load((float*)(pc + i));
            Vector512<float> result = TFlush.On ? TOp.Apply(Flush(a), Flush(b), Flush(c)) : TOp.Apply(a, b, c);
            Finish<TFlush, TSaturate>(result).Store((float*)(target + i));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Finish<TFlush, TSaturate>(Vector512<float> result)
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        result = TFlush.On ? Flush(result) : result;
        return TSaturate.On ? Saturate(result) : result;
    }

    public readonly struct Add : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => a + b;
    }

    public readonly struct Subtract : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => a - b;
    }

    public readonly struct Multiply : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => a * b;
    }

    public readonly struct Divide : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => a / b;
    }

    public readonly struct MultiplyAdd : IVector3<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
            Vector512.FusedMultiplyAdd(a, b, c);
    }

    /// <summary>The other operand where one is NaN; -0 below +0.</summary>
    public readonly struct Minimum : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => Vector512.MinNumber(a, b);
    }

    public readonly struct Maximum : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => Vector512.MaxNumber(a, b);
    }

    /// <summary>NaN where one is NaN.</summary>
    public readonly struct MinimumNaN : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => Vector512.Min(a, b);
    }

    public readonly struct MaximumNaN : IVector2<float>
    {
        public static Vector512<float> Apply(Vector512<float> a, Vector512<float> b) => Vector512.Max(a, b);
    }

    public readonly struct Absolute : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a) => (a.AsUInt32() & Vector512.Create(0x7FFFFFFFu)).AsSingle();
    }

    public readonly struct Negate : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a) => (a.AsUInt32() ^ Vector512.Create(0x80000000u)).AsSingle();
    }

    public readonly struct SquareRoot : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a) => Vector512.Sqrt(a);
    }

    public readonly struct Reciprocal : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a) => Vector512<float>.One / a;
    }

    /// <summary>Computed in double and rounded once, as are all that follow: the exact result's nearest, but for rare ties.</summary>
    public readonly struct ReciprocalSquareRoot : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a)
        {
            (Vector512<double> low, Vector512<double> high) = Vector512.Widen(a);
            return Vector512.Narrow(Vector512<double>.One / Vector512.Sqrt(low), Vector512<double>.One / Vector512.Sqrt(high));
        }
    }

    public readonly struct Exponential2 : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a)
        {
            (Vector512<double> low, Vector512<double> high) = Vector512.Widen(a);
            var scale = Vector512.Create(0.693147180559945309417);
            return Vector512.Narrow(Vector512.Exp(low * scale), Vector512.Exp(high * scale));
        }
    }

    public readonly struct Logarithm2 : IVector1<float>
    {
        public static Vector512<float> Apply(Vector512<float> a)
        {
            (Vector512<double> low, Vector512<double> high) = Vector512.Widen(a);
            return Vector512.Narrow(Vector512.Log2(low), Vector512.Log2(high));
        }
    }

    public readonly struct Sine : IUnary<float, float>
    {
        public static float Apply(float a) => (float)Math.Sin(a);
    }

    public readonly struct Cosine : IUnary<float, float>
    {
        public static float Apply(float a) => (float)Math.Cos(a);
    }

    public readonly struct HyperbolicTangent : IUnary<float, float>
    {
        public static float Apply(float a) => (float)Math.Tanh(a);
    }

    /// <summary>The sign of a, the magnitude of b.</summary>
    public readonly struct CopySign : IBinary<float, float, float>
    {
        public static float Apply(float a, float b) => MathF.CopySign(b, a);
    }

    public readonly struct CopySign64 : IBinary<double, double, double>
    {
        public static double Apply(double a, double b) => Math.CopySign(b, a);
    }

    public readonly struct AddRounded<TMode> : IBinary<float, float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a, float b) => Rounding.Add(a, b, TMode.Mode);
    }

    public readonly struct SubtractRounded<TMode> : IBinary<float, float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a, float b) => Rounding.Add(a, -b, TMode.Mode);
    }

    public readonly struct MultiplyRounded<TMode> : IBinary<float, float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a, float b) => Rounding.Multiply(a, b, TMode.Mode);
    }

    public readonly struct DivideRounded<TMode> : IBinary<float, float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a, float b) => Rounding.Divide(a, b, TMode.Mode);
    }

    public readonly struct MultiplyAddRounded<TMode> : ITernary<float, float, float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a, float b, float c) => Rounding.MultiplyAdd(a, b, c, TMode.Mode);
    }

    public readonly struct SquareRootRounded<TMode> : IUnary<float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a) => Rounding.SquareRoot(a, TMode.Mode);
    }

    public readonly struct ReciprocalRounded<TMode> : IUnary<float, float>
        where TMode : struct, IRounding
    {
        public static float Apply(float a) => Rounding.Divide(1, a, TMode.Mode);
    }

    /// <summary>A scalar operation between flushes and saturation, for the rarely used roundings.</summary>
    public readonly struct Modified2<TOp, TFlush, TSaturate> : IBinary<float, float, float>
        where TOp : struct, IBinary<float, float, float>
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        public static float Apply(float a, float b)
        {
            float result = TFlush.On ? Flush(TOp.Apply(Flush(a), Flush(b))) : TOp.Apply(a, b);
            return TSaturate.On ? Saturate(result) : result;
        }
    }

    public readonly struct Modified3<TOp, TFlush, TSaturate> : ITernary<float, float, float, float>
        where TOp : struct, ITernary<float, float, float, float>
        where TFlush : struct, IFlag
        where TSaturate : struct, IFlag
    {
        public static float Apply(float a, float b, float c)
        {
            float result = TFlush.On ? Flush(TOp.Apply(Flush(a), Flush(b), Flush(c))) : TOp.Apply(a, b, c);
            return TSaturate.On ? Saturate(result) : result;
        }
    }

    public readonly struct Modified1<TOp, TFlush> : IUnary<float, float>
        where TOp : struct, IUnary<float, float>
        where TFlush : struct, IFlag
    {
        public static float Apply(float a) => TFlush.On ? Flush(TOp.Apply(Flush(a))) : TOp.Apply(a);
    }
}
