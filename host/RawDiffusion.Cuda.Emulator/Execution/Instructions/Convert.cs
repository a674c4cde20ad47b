using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>A type as conversions see it.</summary>
internal enum NumberFormat
{
    Unsigned8,
    Signed8,
    Unsigned16,
    Signed16,
    Unsigned32,
    Signed32,
    Unsigned64,
    Signed64,
    Half,
    BFloat,
    Single,
    Double,
    TensorFloat,
}

/// <summary>
/// cvt. The general form: X is the source's <see cref="NumberFormat"/>, Y the result's, Z flags, B 8 where the source
/// register has 8 bytes per lane, C the same of the result.
/// </summary>
internal static unsafe class ConvertInstructions
{
    public const int RoundingMask = 7;
    public const int Integral = 8;
    public const int Saturate = 16;
    public const int Flush = 32;
    public const int Relu = 64;

    public static void General(Warp warp, Operation* op, byte* target)
    {
        byte* a = warp.At(op->A);
        var from = (NumberFormat)op->X;
        var to = (NumberFormat)op->Y;
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ulong raw = op->B == 8 ? ((ulong*)a)[lane] : ((uint*)a)[lane];
            ulong result = from < NumberFormat.Half
                ? to < NumberFormat.Half ? Integers(Widen(raw, from), to, op->Z) : FromInteger(Widen(raw, from), to, op->Z)
                : to < NumberFormat.Half ? ToInteger(ToDouble(raw, from, op->Z), to, op->Z) : Floats(ToDouble(raw, from, op->Z), to, op->Z);
            if (op->C == 8) ((ulong*)target)[lane] = result;
            else ((uint*)target)[lane] = (uint)result;
        }
    }

    private static Int128 Widen(ulong raw, NumberFormat format) => format switch
    {
        NumberFormat.Unsigned8 => (byte)raw,
        NumberFormat.Signed8 => (sbyte)raw,
        NumberFormat.Unsigned16 => (ushort)raw,
        NumberFormat.Signed16 => (short)raw,
        NumberFormat.Unsigned32 => (uint)raw,
        NumberFormat.Signed32 => (int)raw,
        NumberFormat.Unsigned64 => raw,
        NumberFormat.Signed64 => (long)raw,
        _ => throw new UnreachableException($"there is no integer format {format}"),
    };

    private static (Int128 Low, Int128 High) Range(NumberFormat format)
    {
        int bits = 8 << ((int)format / 2);
        return ((int)format & 1) != 0 ? (-(Int128.One << (bits - 1)), (Int128.One << (bits - 1)) - 1) : (0, (Int128.One << bits) - 1);
    }

    // Narrow results are zero- or sign-extended to the register, 16-bit ones kept in 16 bits.
    private static ulong Integers(Int128 value, NumberFormat to, int flags)
    {
        if ((flags & Saturate) != 0)
        {
            (Int128 low, Int128 high) = Range(to);
            value = Int128.Clamp(value, low, high);
        }

        return to switch
        {
            NumberFormat.Unsigned8 => (byte)value,
            NumberFormat.Signed8 => (ulong)(sbyte)value,
            NumberFormat.Unsigned16 => (ushort)value,
            NumberFormat.Signed16 => (ulong)(short)value,
            NumberFormat.Unsigned32 => (uint)value,
            NumberFormat.Signed32 => (ulong)(int)value,
            NumberFormat.Unsigned64 or NumberFormat.Signed64 => (ulong)value,
            _ => throw new UnreachableException($"there is no integer format {to}"),
        };
    }

    private static double ToDouble(ulong raw, NumberFormat format, int flags)
    {
        switch (format)
        {
            case NumberFormat.Half:
                return HalfVectors.FromHalf((ushort)raw);
            case NumberFormat.BFloat:
                return HalfVectors.FromBFloat((ushort)raw);
            case NumberFormat.Double:
                return BitConverter.UInt64BitsToDouble(raw);
            case NumberFormat.Single or NumberFormat.TensorFloat:
                float value = BitConverter.UInt32BitsToSingle((uint)raw);
                return (flags & Flush) != 0 ? FloatInstructions.Flush(value) : value;
            default:
                throw new UnreachableException($"there is no float format {format}");
        }
    }

    private static ulong ToInteger(double value, NumberFormat to, int flags)
    {
        if (double.IsNaN(value)) return 0;

        value = ToIntegral(value, flags);
        (Int128 low, Int128 high) = Range(to);
        Int128 clamped = value <= (double)low ? low : value >= (double)high ? high : (Int128)value;
        return Integers(clamped, to, 0);
    }

    private static double ToIntegral(double value, int flags) => (RoundingMode)(flags & RoundingMask) switch
    {
        RoundingMode.Nearest => Math.Round(value, MidpointRounding.ToEven),
        RoundingMode.Zero => Math.Truncate(value),
        RoundingMode.Down => Math.Floor(value),
        RoundingMode.Up => Math.Ceiling(value),
        var other => throw new UnreachableException($"there is no rounding {other}"),
    };

    private static ulong FromInteger(Int128 value, NumberFormat to, int flags)
    {
        double high = (double)value;
        double low = (double)(value - (Int128)high);
        return Narrow(high, low, to, flags);
    }

    private static ulong Floats(double value, NumberFormat to, int flags) =>
        Narrow((flags & Integral) != 0 && double.IsFinite(value) ? Math.CopySign(ToIntegral(value, flags), value) : value, 0, to, flags);

    private static ulong Narrow(double high, double low, NumberFormat to, int flags)
    {
        if ((flags & Saturate) != 0) (high, low) = !(high > 0) ? (0, 0) : high >= 1 ? (1, 0) : (high, low);

        if ((flags & Relu) != 0 && high < 0) (high, low) = (0, 0);

        RoundingMode mode = (flags & Integral) != 0 ? RoundingMode.Nearest : (RoundingMode)(flags & RoundingMask);
        switch (to)
        {
            case NumberFormat.Double:
                return BitConverter.DoubleToUInt64Bits(low == 0 || mode == RoundingMode.Nearest ? high : Directed(high, low, mode));
            case NumberFormat.Single:
                if (double.IsNaN(high)) return 0x7FFFFFFF;

                float single = Rounding.ToSingle(high, low, mode);
                return BitConverter.SingleToUInt32Bits((flags & Flush) != 0 ? FloatInstructions.Flush(single) : single);
            case NumberFormat.TensorFloat:
                return ToTensorFloat((float)high);
            case NumberFormat.Half:
                return Directed<HalfFormat>(Rounding.ToOdd(high, low), mode);
            case NumberFormat.BFloat:
                return Directed<BFloatFormat>(Rounding.ToOdd(high, low), mode);
            default:
                throw new UnreachableException($"there is no float format {to}");
        }
    }

    private static double Directed(double high, double low, RoundingMode mode) => mode switch
    {
        RoundingMode.Down => low < 0 ? Math.BitDecrement(high) : high,
        RoundingMode.Up => low > 0 ? Math.BitIncrement(high) : high,
        RoundingMode.Zero => high > 0 == low > 0 ? high : high > 0 ? Math.BitDecrement(high) : Math.BitIncrement(high),
        _ => throw new UnreachableException($"there is no directed rounding {mode}"),
    };

    private static ushort Directed<TFormat>(double value, RoundingMode mode)
        where TFormat : struct, IHalfFormat
    {
        ushort bits = TFormat.FromDouble(value);
        double rounded = TFormat.ToSingle(bits);
        bool tooFar = mode switch
        {
            RoundingMode.Zero => Math.Abs(rounded) > Math.Abs(value),
            RoundingMode.Down => rounded > value,
            RoundingMode.Up => rounded < value,
            RoundingMode.Nearest => false,
            _ => throw new UnreachableException($"there is no rounding {mode}"),
        };
        if (!tooFar) return bits;

        // Away from the value means outwards for magnitudes that are too small, inwards for those too large.
        return Math.Abs(rounded) > Math.Abs(value) ? (ushort)(bits - 1) : (ushort)(bits + 1);
    }

    /// <summary>cvt.rna.tf32.f32: 10 bits of mantissa, ties away from zero.</summary>
    public static uint ToTensorFloat(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsFinite(value) ? (bits + 0x1000) & 0xFFFFE000 : float.IsNaN(value) ? 0x7FFFFFFF : bits;
    }

    /// <summary>cvt.rn.f16x2.f32 and bf16x2: A goes to the upper half, B to the lower; X 1 for relu.</summary>
    public static void PackPair<TFormat>(Warp warp, Operation* op, byte* target)
        where TFormat : struct, IHalfFormat
    {
        float* a = (float*)warp.At(op->A);
        float* b = (float*)warp.At(op->B);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            float upper = a[lane], lower = b[lane];
            if (op->X == 1)
            {
                upper = upper < 0 ? 0 : upper;
                lower = lower < 0 ? 0 : lower;
            }

            ((uint*)target)[lane] = ((uint)Directed<TFormat>(upper, (RoundingMode)op->Z) << 16)
                | Directed<TFormat>(lower, (RoundingMode)op->Z);
        }
    }

    public static void PackBFloatPair(Warp warp, Operation* op, byte* target)
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        for (int i = 0; i < 128; i += 64)
        {
            Vector512<uint> upper = HalfVectors.ToBFloat(Vector512.Load((float*)(a + i)));
            Vector512<uint> lower = HalfVectors.ToBFloat(Vector512.Load((float*)(b + i)));
            (Vector512.ShiftLeft(upper, 16) | lower).Store((uint*)(target + i));
        }
    }

    public readonly struct FromHalf : IVector1<uint>
    {
        public static Vector512<uint> Apply(Vector512<uint> a) => HalfVectors.ToSingle(a & Vector512.Create(0xFFFFu)).AsUInt32();
    }

    public readonly struct ToBFloat : IVector1<uint>
    {
        public static Vector512<uint> Apply(Vector512<uint> a) => HalfVectors.ToBFloat(a.AsSingle());
    }

    public readonly struct FromSigned : IVector1<int>
    {
        public static Vector512<int> Apply(Vector512<int> a) => Vector512.ConvertToSingle(a).AsInt32();
    }

    public readonly struct FromUnsigned : IUnary<uint, float>
    {
        public static float Apply(uint a) => a;
    }


    /// <summary>Extends 32 bits to 64.</summary>
    public static void ZeroExtend(Warp warp, Operation* op, byte* target)
    {
        uint* a = (uint*)warp.At(op->A);
        for (int i = 0; i < Warp.Size; i += 16)
        {
            (Vector512<ulong> low, Vector512<ulong> high) = Vector512.Widen(Vector512.Load(a + i));
            low.Store((ulong*)target + i);
            high.Store((ulong*)target + i + 8);
        }
    }

    public static void SignExtend(Warp warp, Operation* op, byte* target)
    {
        int* a = (int*)warp.At(op->A);
        for (int i = 0; i < Warp.Size; i += 16)
        {
            (Vector512<long> low, Vector512<long> high) = Vector512.Widen(Vector512.Load(a + i));
            low.Store((long*)target + i);
            high.Store((long*)target + i + 8);
        }
    }

    public static void Truncate(Warp warp, Operation* op, byte* target)
    {
        ulong* a = (ulong*)warp.At(op->A);
        for (int i = 0; i < Warp.Size; i += 16)
        {
            Vector512.Narrow(Vector512.Load(a + i), Vector512.Load(a + i + 8)).Store((uint*)target + i);
        }
    }
}
