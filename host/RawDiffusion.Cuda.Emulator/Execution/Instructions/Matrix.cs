using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>
/// ldmatrix and mma.sync. Lane 4g + t holds of A row g (and g + 8), of B and D column t's pairs, as the PTX manual's
/// fragment figures have it. Products are exact in float32 (bf16, f16 and tf32 have at most 11 bits) and are added to the
/// accumulator one after the other, in the order of k, each rounded to nearest even (a fused multiply-add). Tensor cores
/// add in another order, which no manual fixes.
/// </summary>
/// <remarks>List: destinations, A registers, B registers, C registers.</remarks>
internal static unsafe class MatrixInstructions
{
    /// <summary>How an element becomes a float.</summary>
    public interface IElement
    {
        /// <summary>The even (low) of two elements in a word, or the only one.</summary>
        static abstract Vector512<float> Low(Vector512<uint> words);

        static abstract Vector512<float> High(Vector512<uint> words);

        /// <summary>Two elements in a word.</summary>
        static abstract bool Packed { get; }

        /// <summary>Conversion takes so long that it is done before words are handed to other lanes, once.</summary>
        static abstract bool Costly { get; }
    }

    public readonly struct BFloat : IElement
    {
        public static bool Packed => true;

        public static bool Costly => false;

        public static Vector512<float> Low(Vector512<uint> words) => Vector512.ShiftLeft(words, 16).AsSingle();

        public static Vector512<float> High(Vector512<uint> words) => (words & Vector512.Create(0xFFFF0000u)).AsSingle();
    }

    public readonly struct HalfFloat : IElement
    {
        public static bool Packed => true;

        public static bool Costly => true;

        public static Vector512<float> Low(Vector512<uint> words) => HalfVectors.ToSingle(words & Vector512.Create(0xFFFFu));

        public static Vector512<float> High(Vector512<uint> words) => HalfVectors.ToSingle(Vector512.ShiftRightLogical(words, 16));
    }

    public readonly struct TensorFloat : IElement
    {
        public static bool Packed => false;

        public static bool Costly => false;

        public static Vector512<float> Low(Vector512<uint> words) => (words & Vector512.Create(0xFFFFE000u)).AsSingle();

        public static Vector512<float> High(Vector512<uint> words) => Low(words);
    }

    /// <summary>
    /// mma.m16n8 with 32-bit accumulators: X is the number of word columns of k (4 words of A per row group and step),
    /// Y whether the accumulator is f16.
    /// </summary>
    public static void Multiply<TElement>(Warp warp, Operation* op, byte* _)
        where TElement : struct, IElement
    {
        if (!Converged(warp, op, "mma.sync")) return;

        // Free between memory instructions, and a stack allocation here costs half the speed.
        uint* converted = (uint*)warp.Addresses;
        int steps = op->X;
        bool halfAccumulator = op->Y != 0;
        int accumulators = halfAccumulator ? 2 : 4;
        int* a = op->List + accumulators;
        int* b = a + (2 * steps);
        int* c = b + steps;

        // Rows g and g + 8, columns 2t and 2t + 1, for lanes 0..15 and 16..31.
        Vector512<float> lowEven, lowOdd, highEven, highOdd, lowEven2, lowOdd2, highEven2, highOdd2;
        if (halfAccumulator)
        {
            (lowEven, lowOdd, lowEven2, lowOdd2) = UnpackHalves(warp.At(c[0]));
            (highEven, highOdd, highEven2, highOdd2) = UnpackHalves(warp.At(c[1]));
        }
        else
        {
            (lowEven, lowEven2) = LoadTwo(warp.At(c[0]));
            (lowOdd, lowOdd2) = LoadTwo(warp.At(c[1]));
            (highEven, highEven2) = LoadTwo(warp.At(c[2]));
            (highOdd, highOdd2) = LoadTwo(warp.At(c[3]));
        }

        for (int step = 0; step < steps; step++)
        {
            (Vector512<uint> aLow, Vector512<uint> aLow2) = LoadWords(warp.At(a[2 * step]));
            (Vector512<uint> aHigh, Vector512<uint> aHigh2) = LoadWords(warp.At(a[(2 * step) + 1]));
            uint* words = (uint*)warp.At(b[step]);
            if (TElement.Costly)
            {
                Vector512<uint> evenLow0 = TElement.Low(aLow).AsUInt32(), evenLow1 = TElement.Low(aLow2).AsUInt32();
                Vector512<uint> evenHigh0 = TElement.Low(aHigh).AsUInt32(), evenHigh1 = TElement.Low(aHigh2).AsUInt32();
                Vector512<uint> oddLow0 = TElement.High(aLow).AsUInt32(), oddLow1 = TElement.High(aLow2).AsUInt32();
                Vector512<uint> oddHigh0 = TElement.High(aHigh).AsUInt32(), oddHigh1 = TElement.High(aHigh2).AsUInt32();
                for (int i = 0; i < Warp.Size; i += 16)
                {
                    TElement.Low(Vector512.Load(words + i)).AsUInt32().Store(converted + i);
                    TElement.High(Vector512.Load(words + i)).AsUInt32().Store(converted + Warp.Size + i);
                }

                for (int column = 0; column < 4; column++)
                {
                    Vector512<float> even = Columns(converted, column, 0).AsSingle();
                    Vector512<float> odd = Columns(converted, column, 4).AsSingle();
                    lowEven = Vector512.FusedMultiplyAdd(Broadcast(evenLow0, column).AsSingle(), even, lowEven);
                    lowOdd = Vector512.FusedMultiplyAdd(Broadcast(evenLow0, column).AsSingle(), odd, lowOdd);
                    highEven = Vector512.FusedMultiplyAdd(Broadcast(evenHigh0, column).AsSingle(), even, highEven);
                    highOdd = Vector512.FusedMultiplyAdd(Broadcast(evenHigh0, column).AsSingle(), odd, highOdd);
                    lowEven2 = Vector512.FusedMultiplyAdd(Broadcast(evenLow1, column).AsSingle(), even, lowEven2);
                    lowOdd2 = Vector512.FusedMultiplyAdd(Broadcast(evenLow1, column).AsSingle(), odd, lowOdd2);
                    highEven2 = Vector512.FusedMultiplyAdd(Broadcast(evenHigh1, column).AsSingle(), even, highEven2);
                    highOdd2 = Vector512.FusedMultiplyAdd(Broadcast(evenHigh1, column).AsSingle(), odd, highOdd2);
                    even = Columns(converted + Warp.Size, column, 0).AsSingle();
                    odd = Columns(converted + Warp.Size, column, 4).AsSingle();
                    lowEven = Vector512.FusedMultiplyAdd(Broadcast(oddLow0, column).AsSingle(), even, lowEven);
                    lowOdd = Vector512.FusedMultiplyAdd(Broadcast(oddLow0, column).AsSingle(), odd, lowOdd);
                    highEven = Vector512.FusedMultiplyAdd(Broadcast(oddHigh0, column).AsSingle(), even, highEven);
                    highOdd = Vector512.FusedMultiplyAdd(Broadcast(oddHigh0, column).AsSingle(), odd, highOdd);
                    lowEven2 = Vector512.FusedMultiplyAdd(Broadcast(oddLow1, column).AsSingle(), even, lowEven2);
                    lowOdd2 = Vector512.FusedMultiplyAdd(Broadcast(oddLow1, column).AsSingle(), odd, lowOdd2);
                    highEven2 = Vector512.FusedMultiplyAdd(Broadcast(oddHigh1, column).AsSingle(), even, highEven2);
                    highOdd2 = Vector512.FusedMultiplyAdd(Broadcast(oddHigh1, column).AsSingle(), odd, highOdd2);
                }

                continue;
            }

            for (int column = 0; column < 4; column++)
            {
                Vector512<uint> even = Columns(words, column, 0);
                Vector512<uint> odd = Columns(words, column, 4);
                Vector512<uint> left = Broadcast(aLow, column);
                Vector512<uint> left2 = Broadcast(aLow2, column);
                Vector512<uint> right = Broadcast(aHigh, column);
                Vector512<uint> right2 = Broadcast(aHigh2, column);
                lowEven = Vector512.FusedMultiplyAdd(TElement.Low(left), TElement.Low(even), lowEven);
                lowOdd = Vector512.FusedMultiplyAdd(TElement.Low(left), TElement.Low(odd), lowOdd);
                highEven = Vector512.FusedMultiplyAdd(TElement.Low(right), TElement.Low(even), highEven);
                highOdd = Vector512.FusedMultiplyAdd(TElement.Low(right), TElement.Low(odd), highOdd);
                lowEven2 = Vector512.FusedMultiplyAdd(TElement.Low(left2), TElement.Low(even), lowEven2);
                lowOdd2 = Vector512.FusedMultiplyAdd(TElement.Low(left2), TElement.Low(odd), lowOdd2);
                highEven2 = Vector512.FusedMultiplyAdd(TElement.Low(right2), TElement.Low(even), highEven2);
                highOdd2 = Vector512.FusedMultiplyAdd(TElement.Low(right2), TElement.Low(odd), highOdd2);
                if (TElement.Packed)
                {
                    lowEven = Vector512.FusedMultiplyAdd(TElement.High(left), TElement.High(even), lowEven);
                    lowOdd = Vector512.FusedMultiplyAdd(TElement.High(left), TElement.High(odd), lowOdd);
                    highEven = Vector512.FusedMultiplyAdd(TElement.High(right), TElement.High(even), highEven);
                    highOdd = Vector512.FusedMultiplyAdd(TElement.High(right), TElement.High(odd), highOdd);
                    lowEven2 = Vector512.FusedMultiplyAdd(TElement.High(left2), TElement.High(even), lowEven2);
                    lowOdd2 = Vector512.FusedMultiplyAdd(TElement.High(left2), TElement.High(odd), lowOdd2);
                    highEven2 = Vector512.FusedMultiplyAdd(TElement.High(right2), TElement.High(even), highEven2);
                    highOdd2 = Vector512.FusedMultiplyAdd(TElement.High(right2), TElement.High(odd), highOdd2);
                }
            }
        }

        if (halfAccumulator)
        {
            PackHalves(warp.Registers + op->List[0], lowEven, lowOdd, lowEven2, lowOdd2);
            PackHalves(warp.Registers + op->List[1], highEven, highOdd, highEven2, highOdd2);
        }
        else
        {
            StoreTwo(warp.Registers + op->List[0], lowEven, lowEven2);
            StoreTwo(warp.Registers + op->List[1], lowOdd, lowOdd2);
            StoreTwo(warp.Registers + op->List[2], highEven, highEven2);
            StoreTwo(warp.Registers + op->List[3], highOdd, highOdd2);
        }
    }

    private static (Vector512<float> First, Vector512<float> Second) LoadTwo(byte* at) =>
        (Vector512.Load((float*)at), Vector512.Load((float*)at + 16));

    private static (Vector512<uint> First, Vector512<uint> Second) LoadWords(byte* at) =>
        (Vector512.Load((uint*)at), Vector512.Load((uint*)at + 16));

    private static void StoreTwo(byte* at, Vector512<float> first, Vector512<float> second)
    {
        first.Store((float*)at);
        second.Store((float*)at + 16);
    }

    /// <summary>B's word of one k for the columns 2t (or 2t + 1): lane 4n + column holds column n.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Columns(uint* words, int column, int odd)
    {
        uint* at = words + column + odd;
        var four = Vector128.Create(at[0], at[8], at[16], at[24]);
        var eight = Vector256.Create(four, four);
        return Vector512.Create(eight, eight);
    }

    /// <summary>Each lane gets the word of the lane of its group of four that holds the column.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Broadcast(Vector512<uint> row, int column) => column switch
    {
        0 => Vector512.Shuffle(row, Vector512.Create(0u, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12)),
        1 => Vector512.Shuffle(row, Vector512.Create(1u, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13)),
        2 => Vector512.Shuffle(row, Vector512.Create(2u, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14)),
        _ => Vector512.Shuffle(row, Vector512.Create(3u, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15)),
    };

    private static (Vector512<float> Even, Vector512<float> Odd, Vector512<float> Even2, Vector512<float> Odd2) UnpackHalves(byte* at)
    {
        (Vector512<uint> first, Vector512<uint> second) = LoadWords(at);
        return (HalfFloat.Low(first), HalfFloat.High(first), HalfFloat.Low(second), HalfFloat.High(second));
    }

    private static void PackHalves(byte* at, Vector512<float> even, Vector512<float> odd, Vector512<float> even2, Vector512<float> odd2)
    {
        for (int lane = 0; lane < 16; lane++)
        {
            ((uint*)at)[lane] = Pack(even[lane], odd[lane]);
            ((uint*)at)[lane + 16] = Pack(even2[lane], odd2[lane]);
        }

        static uint Pack(float low, float high) =>
            BitConverter.HalfToUInt16Bits((Half)low) | ((uint)BitConverter.HalfToUInt16Bits((Half)high) << 16);
    }

    private static bool Converged(Warp warp, Operation* op, string what)
    {
        if (warp.Mask == uint.MaxValue) return true;

        warp.Report(FindingKind.Convergence, op, BitOperations.TrailingZeroCount(warp.Mask), 0,
            $"{what} is executed by {BitOperations.PopCount(warp.Mask)} of 32 lanes: all lanes of the warp must execute it together");
        return false;
    }

    /// <summary>ldmatrix: X is the number of matrices, Y whether they are transposed; the address is a memory operation's.</summary>
    public static void LoadMatrix(Warp warp, Operation* op, byte* _)
    {
        if (!Converged(warp, op, "ldmatrix")) return;

        MemoryAccess.Addresses(warp, op);
        ulong* rows = warp.Addresses;
        byte* shared = warp.Block.Shared;
        uint* matrix = stackalloc uint[32];
        long wavefronts = 0;
        for (int i = 0; i < op->X; i++)
        {
            for (int row = 0; row < 8; row++)
            {
                int lane = (8 * i) + row;
                if (rows[lane] >= Memory.EmulatedMemory.SharedWindow)
                {
                    rows[lane] -= Memory.EmulatedMemory.SharedWindow;
                }

                if (SharedMemoryInstructions.InBounds(warp, op, lane, 16, "reads"))
                {
                    SharedMemoryInstructions.NoteRowRead(warp, op, lane, (int)rows[lane]);
                    Vector128.Load((uint*)(shared + rows[lane])).Store(matrix + (4 * row));
                }
            }

            wavefronts += SharedMemoryInstructions.Wavefronts(rows + (8 * i), 0xFF, 4);
            byte* target = warp.Registers + op->List[i];
            if (op->Y == 0) Unsafe.CopyBlock(target, matrix, 128);
            else Transpose((ushort*)matrix, (uint*)target);
        }

        SharedMemoryInstructions.Add(warp, op, wavefronts, op->X, 128L * op->X);
    }

    private static void Transpose(ushort* matrix, uint* target)
    {
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            int column = lane >> 2, row = (lane & 3) * 2;
            target[lane] = matrix[(8 * row) + column] | ((uint)matrix[(8 * row) + 8 + column] << 16);
        }
    }

    /// <summary>mma.m16n8 of 8-bit integers, k = 16 or 32: X word steps, Y bit 0 A signed, bit 1 B signed, bit 2 saturating.</summary>
    public static void MultiplyIntegers(Warp warp, Operation* op, byte* _)
    {
        if (!Converged(warp, op, "mma.sync")) return;

        int steps = op->X;
        int* a = op->List + 4;
        int* b = a + (2 * steps);
        int* c = b + steps;
        int* result = stackalloc int[4 * Warp.Size];
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            int group = lane >> 2, column = (lane & 3) * 2;
            for (int i = 0; i < 4; i++)
            {
                long sum = ((int*)warp.At(c[i]))[lane];
                for (int step = 0; step < steps; step++)
                {
                    uint* left = (uint*)warp.At(a[(2 * step) + (i >> 1)]);
                    uint* right = (uint*)warp.At(b[step]);
                    for (int k = 0; k < 4; k++)
                    {
                        sum += Dot(left[(4 * group) + k], right[(4 * (column + (i & 1))) + k], op->Y);
                    }
                }

                result[(i * Warp.Size) + lane] = (op->Y & 4) != 0 ? (int)Math.Clamp(sum, int.MinValue, int.MaxValue) : (int)sum;
            }
        }

        for (int i = 0; i < 4; i++)
        {
            Unsafe.CopyBlock(warp.Registers + op->List[i], result + (i * Warp.Size), 128);
        }
    }

    private static int Dot(uint a, uint b, int signs)
    {
        int sum = 0;
        for (int shift = 0; shift < 32; shift += 8)
        {
            int x = (signs & 1) != 0 ? (sbyte)(a >> shift) : (byte)(a >> shift);
            int y = (signs & 2) != 0 ? (sbyte)(b >> shift) : (byte)(b >> shift);
            sum += x * y;
        }

        return sum;
    }
}
