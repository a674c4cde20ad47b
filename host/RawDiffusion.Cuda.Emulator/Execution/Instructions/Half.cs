using System.Diagnostics;
namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>A 16-bit floating-point format.</summary>
internal interface IHalfFormat
{
    static abstract float ToSingle(ushort bits);

    /// <summary>Nearest even, from a value that is exact or rounded to odd.</summary>
    static abstract ushort FromDouble(double value);

    static abstract ushort NaN { get; }

    /// <summary>Bits of the largest denormal's magnitude.</summary>
    static abstract ushort LargestDenormal { get; }
}

internal readonly struct HalfFormat : IHalfFormat
{
    public static ushort NaN => 0x7FFF;

    public static ushort LargestDenormal => 0x03FF;

    public static float ToSingle(ushort bits) => HalfVectors.FromHalf(bits);

    public static ushort FromDouble(double value) => double.IsNaN(value) ? NaN : BitConverter.HalfToUInt16Bits((Half)value);
}

internal readonly struct BFloatFormat : IHalfFormat
{
    public static ushort NaN => 0x7FFF;

    public static ushort LargestDenormal => 0x007F;

    public static float ToSingle(ushort bits) => HalfVectors.FromBFloat(bits);

    public static ushort FromDouble(double value)
    {
        // To float with the sticky bit kept, then to bf16: rounds once in effect.
        float single = (float)value;
        if (float.IsFinite(single) && single != value)
        {
            uint bits = BitConverter.SingleToUInt32Bits(single);
            if (Math.Abs(single) > Math.Abs(value)) bits--;

            single = BitConverter.UInt32BitsToSingle(bits | 1);
        }

        return HalfVectors.ToBFloat(single);
    }
}

/// <summary>What a half instruction computes, on values that are exact in double.</summary>
internal enum HalfKind
{
    Add,
    Subtract,
    Multiply,
    MultiplyAdd,
    Minimum,
    Maximum,
    MinimumNaN,
    MaximumNaN,
    Negate,
    Absolute,
    Tanh,
    Exponential2,
}

/// <summary>f16, bf16 and their pairs: X is the <see cref="HalfKind"/>, Y flags (1 ftz, 2 sat, 4 relu).</summary>
internal static unsafe class HalfInstructions
{
    public const int Flush = 1;
    public const int Saturate = 2;
    public const int Relu = 4;

    public static void Single<TFormat>(Warp warp, Operation* op, byte* target)
        where TFormat : struct, IHalfFormat
    {
        Sources(warp, op, out uint* a, out uint* b, out uint* c);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ((uint*)target)[lane] = Compute<TFormat>(op, (ushort)a[lane], (ushort)b[lane], (ushort)c[lane]);
        }
    }

    public static void Pair<TFormat>(Warp warp, Operation* op, byte* target)
        where TFormat : struct, IHalfFormat
    {
        Sources(warp, op, out uint* a, out uint* b, out uint* c);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            uint low = Compute<TFormat>(op, (ushort)a[lane], (ushort)b[lane], (ushort)c[lane]);
            uint high = Compute<TFormat>(op, (ushort)(a[lane] >> 16), (ushort)(b[lane] >> 16), (ushort)(c[lane] >> 16));
            ((uint*)target)[lane] = low | (high << 16);
        }
    }

    private static void Sources(Warp warp, Operation* op, out uint* a, out uint* b, out uint* c)
    {
        a = (uint*)warp.At(op->A);
        b = (uint*)warp.At(op->B);
        c = (uint*)warp.At(op->C);
    }

    private static ushort Compute<TFormat>(Operation* op, ushort a, ushort b, ushort c)
        where TFormat : struct, IHalfFormat
    {
        var kind = (HalfKind)op->X;
        if (kind == HalfKind.Negate) return (ushort)(a ^ 0x8000);

        if (kind == HalfKind.Absolute) return (ushort)(a & 0x7FFF);

        bool flush = (op->Y & Flush) != 0;
        double x = Input<TFormat>(a, flush), y = Input<TFormat>(b, flush), z = Input<TFormat>(c, flush);
        double result = kind switch
        {
            HalfKind.Add => Exact(x, y),
            HalfKind.Subtract => Exact(x, -y),
            HalfKind.Multiply => x * y,
            HalfKind.MultiplyAdd => Exact(x * y, z),
            HalfKind.Minimum => double.MinNumber(x, y),
            HalfKind.Maximum => double.MaxNumber(x, y),
            HalfKind.MinimumNaN => Math.Min(x, y),
            HalfKind.MaximumNaN => Math.Max(x, y),
            HalfKind.Tanh => Math.Tanh(x),
            HalfKind.Exponential2 => Math.Pow(2, x),
            _ => throw new UnreachableException($"there is no half instruction {kind}"),
        };
        if ((op->Y & Relu) != 0 && result < 0) result = 0;

        if ((op->Y & Saturate) != 0) result = !(result > 0) ? 0 : Math.Min(result, 1);

        ushort bits = TFormat.FromDouble(result);
        return flush && (bits & 0x7FFF) <= TFormat.LargestDenormal ? (ushort)(bits & 0x8000) : bits;
    }

    private static double Input<TFormat>(ushort bits, bool flush)
        where TFormat : struct, IHalfFormat =>
        TFormat.ToSingle(flush && (bits & 0x7FFF) <= TFormat.LargestDenormal ? (ushort)(bits & 0x8000) : bits);

    private static double Exact(double a, double b)
    {
        (double sum, double error) = Rounding.Add(a, b);
        return Rounding.ToOdd(sum, error);
    }
}
