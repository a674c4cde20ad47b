using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Conversions of 16-bit floating point, exact or rounded to nearest even.</summary>
internal static class HalfVectors
{
    /// <summary>f16 in the low 16 bits (the others zero) to float32, exact; infinities and NaN included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<uint> half)
    {
        // Exponent and mantissa moved in place are the value times 2^-112, for denormals too.
        var magnitude = Vector512.ShiftLeft(half & Vector512.Create(0x7FFFu), 13);
        Vector512<uint> value = (magnitude.AsSingle() * Vector512.Create(5.192296858534828e33f)).AsUInt32();
        var special = Vector512.GreaterThanOrEqual(magnitude, Vector512.Create(0x7C00u << 13));
        value = Vector512.ConditionalSelect(special, magnitude | Vector512.Create(0x7F800000u), value);
        return (value | Vector512.ShiftLeft(half & Vector512.Create(0x8000u), 16)).AsSingle();
    }

    /// <summary>float32 to bf16 in the low 16 bits, nearest even, NaN to 0x7FFF.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ToBFloat(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        Vector512<uint> odd = Vector512.ShiftRightLogical(bits, 16) & Vector512<uint>.One;
        var rounded = Vector512.ShiftRightLogical(bits + Vector512.Create(0x7FFFu) + odd, 16);
        return Vector512.ConditionalSelect(Vector512.IsNaN(value).AsUInt32(), Vector512.Create(0x7FFFu), rounded);
    }

    /// <summary>bf16 bits to float32.</summary>
    public static float FromBFloat(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>float32 to bf16 bits, nearest even, NaN to 0x7FFF.</summary>
    public static ushort ToBFloat(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7FFF : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>f16 bits to float32.</summary>
    public static float FromHalf(ushort bits) => (float)BitConverter.UInt16BitsToHalf(bits);

    /// <summary>float32 to f16 bits, nearest even, NaN to 0x7FFF.</summary>
    public static ushort ToHalf(float value) => float.IsNaN(value) ? (ushort)0x7FFF : BitConverter.HalfToUInt16Bits((Half)value);
}
