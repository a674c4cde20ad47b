using System.Numerics;
using System.Runtime.CompilerServices;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>Instructions through which the lanes of a warp talk to each other.</summary>
internal static unsafe class WarpInstructions
{
    public const int Up = 0;
    public const int Down = 1;
    public const int Butterfly = 2;
    public const int Index = 3;

    /// <summary>
    /// Whether the lanes that the membership mask names are those that execute. Lanes may hold different masks, as tiles of a warp do.
    /// </summary>
    private static bool CheckMembers(Warp warp, Operation* op, int maskOffset, string what, out uint members)
    {
        int first = BitOperations.TrailingZeroCount(warp.Mask);
        members = ((uint*)warp.At(maskOffset))[first];
        if ((members & warp.Live) == warp.Mask || GroupsMatch(warp, maskOffset)) return true;

        warp.Report(FindingKind.Convergence, op, first, 0,
            $"{what} names lanes 0x{members:x8} and is executed by lanes 0x{warp.Mask:x8}: the mask must name exactly the lanes that reach "
            + "the instruction together");
        return false;
    }

    /// <summary>Whether each lane's mask names only lanes that execute now, itself among them.</summary>
    private static bool GroupsMatch(Warp warp, int maskOffset)
    {
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            uint members = ((uint*)warp.At(maskOffset))[lane];
            if ((members & warp.Live & ~warp.Mask) != 0 || ((members >> lane) & 1) == 0) return false;
        }

        return true;
    }

    /// <summary>shfl.sync: A value, B lane or distance, C width mask, X membership mask, Y mode, Second the predicate.</summary>
    public static void Shuffle(Warp warp, Operation* op, byte* target)
    {
        CheckMembers(warp, op, op->X, "shfl.sync", out _);
        uint* values = stackalloc uint[Warp.Size];
        Unsafe.CopyBlock(values, warp.At(op->A), 128);
        uint* b = (uint*)warp.At(op->B);
        uint* c = (uint*)warp.At(op->C);
        uint inRange = 0;
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            int distance = (int)(b[lane] & 31), clamp = (int)(c[lane] & 31), segment = (int)((c[lane] >> 8) & 31);
            int maximum = (lane & segment) | (clamp & ~segment);
            int minimum = lane & segment;
            int from = op->Y switch
            {
                Up => lane - distance,
                Down => lane + distance,
                Butterfly => lane ^ distance,
                _ => minimum | (distance & ~segment),
            };
            bool inside = op->Y == Up ? from >= maximum : from <= maximum;
            from = inside ? from : lane;
            inRange |= inside ? 1u << lane : 0;
            if (((warp.Mask >> (from & 31)) & 1) == 0)
            {
                warp.Report(FindingKind.Convergence, op, lane, 0,
                    $"shfl.sync reads lane {from}, which does not execute it (lanes 0x{warp.Mask:x8} do): its value is undefined; let all "
                    + "lanes take part");
            }

            ((uint*)target)[lane] = values[from & 31];
        }

        if (op->Second != 0) WritePredicate(warp, op->Second, inRange);
    }

    public const int All = 0;
    public const int Any = 1;
    public const int Uniform = 2;
    public const int Ballot = 3;

    /// <summary>vote.sync: A predicate (flipped by Z), X membership mask, Y mode.</summary>
    public static void Vote(Warp warp, Operation* op, byte* target)
    {
        CheckMembers(warp, op, op->X, "vote.sync", out uint members);
        members &= warp.Mask;
        uint values = (*(uint*)warp.At(op->A) ^ (uint)op->Z) & members;
        if (op->Y == Ballot)
        {
            for (uint m = warp.Mask; m != 0; m &= m - 1)
            {
                ((uint*)target)[BitOperations.TrailingZeroCount(m)] = values;
            }
        }
        else
        {
            bool result = op->Y switch { All => values == members, Any => values != 0, _ => values == members || values == 0 };
            *(uint*)target = (*(uint*)target & ~warp.Mask) | (result ? warp.Mask : 0);
        }
    }

    public static void ActiveMask(Warp warp, Operation* op, byte* target)
    {
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            ((uint*)target)[BitOperations.TrailingZeroCount(m)] = warp.Mask;
        }
    }

    /// <summary>match.sync: A value (C bytes), X membership mask, Y 1 for match.all, Second its predicate.</summary>
    public static void Match(Warp warp, Operation* op, byte* target)
    {
        CheckMembers(warp, op, op->X, "match.sync", out uint members);
        byte* values = warp.At(op->A);
        uint* results = stackalloc uint[Warp.Size];
        uint all = 0;
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            uint same = 0;
            for (uint n = warp.Mask & members; n != 0; n &= n - 1)
            {
                int other = BitOperations.TrailingZeroCount(n);
                bool equal = op->C == 8 ? ((ulong*)values)[lane] == ((ulong*)values)[other]
                    : ((uint*)values)[lane] == ((uint*)values)[other];
                same |= equal ? 1u << other : 0;
            }

            bool complete = same == (warp.Mask & members);
            all |= complete ? 1u << lane : 0;
            results[lane] = op->Y == 0 ? same : complete ? members : 0;
        }

        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ((uint*)target)[lane] = results[lane];
        }

        if (op->Second != 0) WritePredicate(warp, op->Second, all);
    }

    public const int ReduceAdd = 0;
    public const int ReduceMinSigned = 1;
    public const int ReduceMaxSigned = 2;
    public const int ReduceMinUnsigned = 3;
    public const int ReduceMaxUnsigned = 4;
    public const int ReduceAnd = 5;
    public const int ReduceOr = 6;
    public const int ReduceXor = 7;

    /// <summary>redux.sync: A value, X membership mask, Y what.</summary>
    public static void Reduce(Warp warp, Operation* op, byte* target)
    {
        CheckMembers(warp, op, op->X, "redux.sync", out uint members);
        uint* values = (uint*)warp.At(op->A);
        uint lanes = warp.Mask & members;
        uint result = lanes == 0 ? 0 : values[BitOperations.TrailingZeroCount(lanes)];
        for (uint m = lanes & (lanes - 1); m != 0; m &= m - 1)
        {
            uint value = values[BitOperations.TrailingZeroCount(m)];
            result = op->Y switch
            {
                ReduceAdd => result + value,
                ReduceMinSigned => (uint)Math.Min((int)result, (int)value),
                ReduceMaxSigned => (uint)Math.Max((int)result, (int)value),
                ReduceMinUnsigned => Math.Min(result, value),
                ReduceMaxUnsigned => Math.Max(result, value),
                ReduceAnd => result & value,
                ReduceOr => result | value,
                _ => result ^ value,
            };
        }

        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            ((uint*)target)[BitOperations.TrailingZeroCount(m)] = result;
        }
    }

    /// <summary>bar.warp.sync (X membership mask): orders the memory accesses of the lanes.</summary>
    public static void SyncWarp(Warp warp, Operation* op, byte* _)
    {
        if (CheckMembers(warp, op, op->X, "bar.warp.sync", out uint _) && warp.Mask == warp.Live)
        {
            warp.Block.SharedRaces.SyncWarp(warp.Index);
        }
    }

    public static void Fence(Warp warp, Operation* op, byte* _) => warp.Block.Fence();

    public static void Nothing(Warp warp, Operation* op, byte* _)
    {
    }

    private static void WritePredicate(Warp warp, int offset, uint value)
    {
        uint* predicate = (uint*)(warp.Registers + offset);
        *predicate = (*predicate & ~warp.Mask) | (value & warp.Mask);
    }

    /// <summary>%clock: the basic blocks that the warp has executed.</summary>
    public static void Clock(Warp warp, Operation* op, byte* target)
    {
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (op->X == 8) ((long*)target)[lane] = warp.Steps;
            else ((int*)target)[lane] = (int)warp.Steps;
        }
    }
}
