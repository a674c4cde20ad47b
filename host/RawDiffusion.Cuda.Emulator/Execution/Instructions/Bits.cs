using System.Numerics;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Bit counting, fields, permutation, dot products, carries.</summary>
internal static unsafe class BitInstructions
{
    public readonly struct Population<T> : IUnary<T, uint>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static uint Apply(T a) => uint.CreateTruncating(T.PopCount(a));
    }

    public readonly struct LeadingZeros<T> : IUnary<T, uint>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static uint Apply(T a) => uint.CreateTruncating(T.LeadingZeroCount(a));
    }

    public readonly struct Reverse32 : IUnary<uint, uint>
    {
        public static uint Apply(uint a)
        {
            a = ((a >> 1) & 0x55555555) | ((a & 0x55555555) << 1);
            a = ((a >> 2) & 0x33333333) | ((a & 0x33333333) << 2);
            a = ((a >> 4) & 0x0F0F0F0F) | ((a & 0x0F0F0F0F) << 4);
            return System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(a);
        }
    }

    public readonly struct Reverse64 : IUnary<ulong, ulong>
    {
        public static ulong Apply(ulong a) => ((ulong)Reverse32.Apply((uint)a) << 32) | Reverse32.Apply((uint)(a >> 32));
    }

    /// <summary>Position of the highest bit that differs from the sign; all ones where there is none.</summary>
    public readonly struct FindHighest<T> : IUnary<T, uint>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static uint Apply(T a)
        {
            a = a < T.Zero ? ~a : a;
            return a == T.Zero ? uint.MaxValue : (8 * (uint)sizeof(T)) - 1 - uint.CreateTruncating(T.LeadingZeroCount(a));
        }
    }

    /// <summary>The same as a shift amount that brings that bit to the top.</summary>
    public readonly struct FindHighestShift<T> : IUnary<T, uint>
        where T : unmanaged, IBinaryInteger<T>
    {
        public static uint Apply(T a)
        {
            uint position = FindHighest<T>.Apply(a);
            return position == uint.MaxValue ? position : (8 * (uint)sizeof(T)) - 1 - position;
        }
    }

    public readonly struct ExtractField<T> : ITernary<T, uint, uint, T>
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, uint b, uint c)
        {
            int width = 8 * sizeof(T);
            int position = (int)(b & 0xFF), length = (int)(c & 0xFF);
            bool signed = T.MinValue != T.Zero;

            // The bit that fills: the field's highest, or the highest there is.
            int top = Math.Min(position + length - 1, width - 1);
            bool fill = signed && length > 0 && ((a >> top) & T.One) != T.Zero;
            T result = fill ? ~T.Zero : T.Zero;
            for (int i = 0; i < length && i < width; i++)
            {
                bool bit = position + i < width ? ((a >> (position + i)) & T.One) != T.Zero : fill;
                result = bit ? result | (T.One << i) : result & ~(T.One << i);
            }

            return result;
        }
    }

    public readonly struct ExtractUnsigned32 : ITernary<uint, uint, uint, uint>
    {
        public static uint Apply(uint a, uint b, uint c)
        {
            int position = (int)(b & 0xFF), length = (int)(c & 0xFF);
            ulong mask = length >= 32 ? uint.MaxValue : (1ul << length) - 1;
            return position >= 32 ? 0 : (uint)((a >> position) & mask);
        }
    }

    /// <summary>bfi: A into B at position C for X's length (a fourth operand).</summary>
    public static void InsertField<T>(Warp warp, Operation* op, byte* target)
        where T : unmanaged, IBinaryInteger<T>
    {
        int width = 8 * sizeof(T);
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        uint* c = (uint*)warp.At(op->C);
        uint* d = (uint*)warp.At(op->X);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            int position = (int)(c[lane] & 0xFF), length = (int)(d[lane] & 0xFF);
            T into = ((T*)b)[lane];
            if (position < width && length > 0)
            {
                T mask = (length >= width ? ~T.Zero : (T.One << length) - T.One) << position;
                into = (into & ~mask) | ((((T*)a)[lane] << position) & mask);
            }

            ((T*)target)[lane] = into;
        }
    }

    /// <summary>lop3 with its truth table in X.</summary>
    public static void Logic3(Warp warp, Operation* op, byte* target)
    {
        byte* pa = warp.At(op->A);
        byte* pb = warp.At(op->B);
        byte* pc = warp.At(op->C);
        for (int i = 0; i < 128; i += 64)
        {
            var a = Vector512.Load((uint*)(pa + i));
            var b = Vector512.Load((uint*)(pb + i));
            var c = Vector512.Load((uint*)(pc + i));
            Vector512<uint> result = Vector512<uint>.Zero;
            for (int term = 0; term < 8; term++)
            {
                if (((op->X >> term) & 1) != 0)
                {
                    result |= ((term & 4) != 0 ? a : ~a) & ((term & 2) != 0 ? b : ~b) & ((term & 1) != 0 ? c : ~c);
                }
            }

            result.Store((uint*)(target + i));
        }
    }

    /// <summary>prmt: bytes of A and B chosen by C; X is the mode.</summary>
    public static void Permute(Warp warp, Operation* op, byte* target)
    {
        uint* a = (uint*)warp.At(op->A);
        uint* b = (uint*)warp.At(op->B);
        uint* c = (uint*)warp.At(op->C);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ((uint*)target)[lane] = Permute(((ulong)b[lane] << 32) | a[lane], op->X == 0 ? c[lane] : Selector(op->X, (int)(c[lane] & 3)));
        }
    }

    private static uint Permute(ulong bytes, uint selector)
    {
        uint result = 0;
        for (int i = 0; i < 4; i++)
        {
            uint chosen = (selector >> (4 * i)) & 0xF;
            uint value = (uint)(bytes >> (8 * (int)(chosen & 7))) & 0xFF;
            result |= ((chosen & 8) != 0 ? ((value & 0x80) != 0 ? 0xFFu : 0) : value) << (8 * i);
        }

        return result;
    }

    /// <summary>Names of prmt's modes, index as in X.</summary>
    public static readonly string[] PermuteModes = ["", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"];

    private static uint Selector(int mode, int c) => PermuteModes[mode] switch
    {
        "f4e" => 0x3210u + (0x1111u * (uint)c),
        "b4e" => c switch { 0 => 0x5670, 1 => 0x6701, 2 => 0x7012, _ => 0x0123 },
        "rc8" => 0x1111u * (uint)c,
        "ecl" => c switch { 0 => 0x3210, 1 => 0x3211, 2 => 0x3222, _ => 0x3333 },
        "ecr" => c switch { 0 => 0x0000, 1 => 0x1110, 2 => 0x2210, _ => 0x3210 },
        _ => (c & 1) == 0 ? 0x1010u : 0x3232u,
    };

    /// <summary>dp4a: X bit 0 A signed, bit 1 B signed.</summary>
    public static void Dot4(Warp warp, Operation* op, byte* target)
    {
        uint* a = (uint*)warp.At(op->A);
        uint* b = (uint*)warp.At(op->B);
        int* c = (int*)warp.At(op->C);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            int sum = c[lane];
            for (int shift = 0; shift < 32; shift += 8)
            {
                int x = (op->X & 1) != 0 ? (sbyte)(a[lane] >> shift) : (byte)(a[lane] >> shift);
                int y = (op->X & 2) != 0 ? (sbyte)(b[lane] >> shift) : (byte)(b[lane] >> shift);
                sum += x * y;
            }

            ((int*)target)[lane] = sum;
        }
    }

    /// <summary>dp2a: as <see cref="Dot4"/>; X bit 2 chooses the upper two bytes of B.</summary>
    public static void Dot2(Warp warp, Operation* op, byte* target)
    {
        uint* a = (uint*)warp.At(op->A);
        uint* b = (uint*)warp.At(op->B);
        int* c = (int*)warp.At(op->C);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            int sum = c[lane];
            for (int i = 0; i < 2; i++)
            {
                int shift = (8 * i) + ((op->X & 4) != 0 ? 16 : 0);
                int x = (op->X & 1) != 0 ? (short)(a[lane] >> (16 * i)) : (ushort)(a[lane] >> (16 * i));
                int y = (op->X & 2) != 0 ? (sbyte)(b[lane] >> shift) : (byte)(b[lane] >> shift);
                sum += x * y;
            }

            ((int*)target)[lane] = sum;
        }
    }

    /// <summary>What the carry instructions compute (Operation.X), in the order add, sub, mad.lo, mad.hi.</summary>
    public const int CarryAdd = 0;
    public const int CarrySubtract = 1;
    public const int CarryMultiplyLow = 2;
    public const int CarryMultiplyHigh = 3;

    /// <summary>add.cc and its relatives: Y bit 0 takes the carry, bit 1 sets it; Z is 1 for signed mad.hi.</summary>
    public static void Carry<T, TWide>(Warp warp, Operation* op, byte* target)
        where T : unmanaged, IBinaryInteger<T>
        where TWide : unmanaged, IBinaryInteger<TWide>
    {
        var a = (T*)warp.At(op->A);
        var b = (T*)warp.At(op->B);
        var c = (T*)warp.At(op->C);
        int bits = 8 * sizeof(T);
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            TWide carry = (op->Y & 1) != 0 && ((warp.Carry >> lane) & 1) != 0 ? TWide.One : TWide.Zero;
            TWide x = TWide.CreateTruncating(a[lane]), y = TWide.CreateTruncating(b[lane]);
            TWide sum;
            if (op->X == CarrySubtract)
            {
                sum = x - y - carry;
            }
            else
            {
                if (op->X >= CarryMultiplyLow)
                {
                    x = Product(a[lane], b[lane], op->X == CarryMultiplyHigh, op->Z != 0);
                    y = TWide.CreateTruncating(c[lane]);
                }

                sum = x + y + carry;
            }

            ((T*)target)[lane] = T.CreateTruncating(sum);
            if ((op->Y & 2) != 0)
            {
                bool set = ((sum >> bits) & TWide.One) != TWide.Zero;
                warp.Carry = set ? warp.Carry | (1u << lane) : warp.Carry & ~(1u << lane);
            }
        }

        TWide Product(T left, T right, bool high, bool signed)
        {
            TWide product = TWide.CreateTruncating(left) * TWide.CreateTruncating(right);
            if (!high) return TWide.CreateTruncating(T.CreateTruncating(product));

            T upper = T.CreateTruncating(product >> bits);
            if (signed)
            {
                // From the unsigned product to the signed one.
                T top = T.One << (bits - 1);
                upper -= (left & top) != T.Zero ? right : T.Zero;
                upper -= (right & top) != T.Zero ? left : T.Zero;
            }

            return TWide.CreateTruncating(upper);
        }
    }
}
