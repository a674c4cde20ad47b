using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

internal interface IComparison
{
    static abstract Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b);
}

/// <summary>
/// setp, set, selp, slct. A comparison's X says how it is combined with the predicate in C (0 not, 1 and, 2 or, 3 xor),
/// Z flips that predicate, Second receives the combination of the opposite.
/// </summary>
internal static unsafe class CompareInstructions
{
    public readonly struct Equal : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.Equals(a, b);
    }

    public readonly struct NotEqual : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => ~Vector512.Equals(a, b);
    }

    public readonly struct Less : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.LessThan(a, b);
    }

    public readonly struct LessEqual : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.LessThanOrEqual(a, b);
    }

    public readonly struct Greater : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.GreaterThan(a, b);
    }

    public readonly struct GreaterEqual : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.GreaterThanOrEqual(a, b);
    }

    /// <summary>Both are numbers.</summary>
    public readonly struct Ordered : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => Vector512.Equals(a, a) & Vector512.Equals(b, b);
    }

    /// <summary>Unordered variants: true where one is NaN.</summary>
    public readonly struct OrUnordered<TOp> : IComparison
        where TOp : struct, IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => TOp.Apply(a, b) | ~Ordered.Apply(a, b);
    }

    public readonly struct AndOrdered<TOp> : IComparison
        where TOp : struct, IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => TOp.Apply(a, b) & Ordered.Apply(a, b);
    }

    public readonly struct Unordered : IComparison
    {
        public static Vector512<T> Apply<T>(Vector512<T> a, Vector512<T> b) => ~Ordered.Apply(a, b);
    }

    /// <summary>How a register becomes something that vectors compare; 16-bit types are widened.</summary>
    public interface ISource<T>
    {
        static abstract Vector512<T> Load(byte* at, int index);
    }

    public readonly struct Plain<T> : ISource<T>
        where T : unmanaged
    {
        public static Vector512<T> Load(byte* at, int index) => Vector512.Load((T*)at + (index * Vector512<T>.Count));
    }

    public readonly struct Flushed : ISource<float>
    {
        public static Vector512<float> Load(byte* at, int index) => FloatInstructions.Flush(Vector512.Load((float*)at + (16 * index)));
    }

    public readonly struct SignExtended16 : ISource<int>
    {
        public static Vector512<int> Load(byte* at, int index) =>
            Vector512.ShiftRightArithmetic(Vector512.ShiftLeft(Vector512.Load((int*)at + (16 * index)), 16), 16);
    }

    public readonly struct ZeroExtended16 : ISource<uint>
    {
        public static Vector512<uint> Load(byte* at, int index) => Vector512.Load((uint*)at + (16 * index)) & Vector512.Create(0xFFFFu);
    }

    public readonly struct FromHalf : ISource<float>
    {
        public static Vector512<float> Load(byte* at, int index) => HalfVectors.ToSingle(ZeroExtended16.Load(at, index));
    }

    public readonly struct FromBFloat : ISource<float>
    {
        public static Vector512<float> Load(byte* at, int index) =>
            Vector512.ShiftLeft(Vector512.Load((uint*)at + (16 * index)), 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Bits<TOp, TSource, T>(Warp warp, Operation* op)
        where TOp : struct, IComparison
        where TSource : struct, ISource<T>
        where T : unmanaged
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        uint bits = 0;
        for (int i = 0; i < Warp.Size / Vector512<T>.Count; i++)
        {
            bits |= (uint)TOp.Apply(TSource.Load(a, i), TSource.Load(b, i)).ExtractMostSignificantBits() << (i * Vector512<T>.Count);
        }

        return bits;
    }

    public static void SetPredicate<TOp, TSource, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IComparison
        where TSource : struct, ISource<T>
        where T : unmanaged
    {
        uint bits = Bits<TOp, TSource, T>(warp, op);
        if (op->X == 0 && op->Second == 0)
        {
            *(uint*)target = bits;
            return;
        }

        Combined(warp, op, target, bits);
    }

    private static void Combined(Warp warp, Operation* op, byte* target, uint bits)
    {
        uint with = op->X == 0 ? 0 : *(uint*)warp.At(op->C) ^ (uint)op->Z;
        uint opposite = Combine(op->X, ~bits, with);
        uint result = Combine(op->X, bits, with);
        if (op->Second != 0)
        {
            uint* second = (uint*)(warp.Registers + op->Second);
            *second = (*second & ~warp.Mask) | (opposite & warp.Mask);
            result = (*(uint*)target & ~warp.Mask) | (result & warp.Mask);
        }

        *(uint*)target = result;
    }

    private static uint Combine(int how, uint bits, uint with) =>
        how switch { 0 => bits, 1 => bits & with, 2 => bits | with, _ => bits ^ with };

    /// <summary>set: all ones or, with Y = 1, 1.0 where the comparison holds.</summary>
    public static void Set<TOp, TSource, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IComparison
        where TSource : struct, ISource<T>
        where T : unmanaged
    {
        uint bits = Bits<TOp, TSource, T>(warp, op);
        if (op->X != 0) bits = Combine(op->X, bits, *(uint*)warp.At(op->C) ^ (uint)op->Z);

        uint yes = op->Y == 1 ? 0x3F800000u : uint.MaxValue;
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ((uint*)target)[lane] = ((bits >> lane) & 1) != 0 ? yes : 0;
        }
    }

    /// <summary>selp of 4-byte lanes: A where the predicate in C (flipped by Z) holds, else B.</summary>
    public static void Select32(Warp warp, Operation* op, byte* target)
    {
        uint chosen = *(uint*)warp.At(op->C) ^ (uint)op->Z;
        uint* a = (uint*)warp.At(op->A);
        uint* b = (uint*)warp.At(op->B);
        var lanes = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        var low = Vector512.Equals(Vector512.Create(chosen) & lanes, lanes);
        var high = Vector512.Equals(Vector512.Create(chosen >> 16) & lanes, lanes);
        Vector512.ConditionalSelect(low, Vector512.Load(a), Vector512.Load(b)).Store((uint*)target);
        Vector512.ConditionalSelect(high, Vector512.Load(a + 16), Vector512.Load(b + 16)).Store((uint*)target + 16);
    }

    public static void Select64(Warp warp, Operation* op, byte* target)
    {
        uint chosen = *(uint*)warp.At(op->C) ^ (uint)op->Z;
        ulong* a = (ulong*)warp.At(op->A);
        ulong* b = (ulong*)warp.At(op->B);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ((ulong*)target)[lane] = ((chosen >> lane) & 1) != 0 ? a[lane] : b[lane];
        }
    }

    /// <summary>slct: A where C is not negative (zero included, NaN not), else B. X bytes, Y 1 where C is a float.</summary>
    public static void SelectBySign(Warp warp, Operation* op, byte* target)
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        byte* c = warp.At(op->C);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            bool first = op->Y == 1 ? ((float*)c)[lane] >= 0 : ((int*)c)[lane] >= 0;
            if (op->X == 8) ((ulong*)target)[lane] = ((ulong*)(first ? a : b))[lane];
            else ((uint*)target)[lane] = ((uint*)(first ? a : b))[lane];
        }
    }

    /// <summary>testp: X is 0 finite, 1 infinite, 2 number, 3 not a number, 4 normal, 5 subnormal.</summary>
    public static void Test<T>(Warp warp, Operation* op, byte* target)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var a = (T*)warp.At(op->A);
        uint bits = 0;
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            bool holds = op->X switch
            {
                0 => T.IsFinite(a[lane]),
                1 => T.IsInfinity(a[lane]),
                2 => !T.IsNaN(a[lane]),
                3 => T.IsNaN(a[lane]),
                4 => T.IsNormal(a[lane]),
                _ => T.IsSubnormal(a[lane]),
            };
            bits |= holds ? 1u << lane : 0;
        }

        *(uint*)target = bits;
    }

    /// <summary>Logic between predicates: X is 0 and, 1 or, 2 xor, 3 not, 4 move; Y and Z flip A and B.</summary>
    public static void PredicateLogic(Warp warp, Operation* op, byte* target)
    {
        uint a = *(uint*)warp.At(op->A) ^ (uint)op->Y;
        uint b = op->X >= 3 ? 0 : *(uint*)warp.At(op->B) ^ (uint)op->Z;
        *(uint*)target = op->X switch { 0 => a & b, 1 => a | b, 2 => a ^ b, 3 => ~a, _ => a };
    }
}
