using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>float64, rounded to nearest even.</summary>
internal static class DoubleOperations
{
    public readonly struct Add : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => a + b;
    }

    public readonly struct Subtract : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => a - b;
    }

    public readonly struct Multiply : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => a * b;
    }

    public readonly struct Divide : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => a / b;
    }

    public readonly struct MultiplyAdd : IVector3<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b, Vector512<double> c) =>
            Vector512.FusedMultiplyAdd(a, b, c);
    }

    public readonly struct Minimum : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => Vector512.MinNumber(a, b);
    }

    public readonly struct Maximum : IVector2<double>
    {
        public static Vector512<double> Apply(Vector512<double> a, Vector512<double> b) => Vector512.MaxNumber(a, b);
    }

    public readonly struct Absolute : IVector1<double>
    {
        public static Vector512<double> Apply(Vector512<double> a) => Vector512.Abs(a);
    }

    public readonly struct Negate : IVector1<double>
    {
        public static Vector512<double> Apply(Vector512<double> a) => (a.AsUInt64() ^ Vector512.Create(0x8000000000000000ul)).AsDouble();
    }

    public readonly struct SquareRoot : IVector1<double>
    {
        public static Vector512<double> Apply(Vector512<double> a) => Vector512.Sqrt(a);
    }

    public readonly struct Reciprocal : IVector1<double>
    {
        public static Vector512<double> Apply(Vector512<double> a) => Vector512<double>.One / a;
    }

    public readonly struct ReciprocalSquareRoot : IVector1<double>
    {
        public static Vector512<double> Apply(Vector512<double> a) => Vector512<double>.One / Vector512.Sqrt(a);
    }
}
