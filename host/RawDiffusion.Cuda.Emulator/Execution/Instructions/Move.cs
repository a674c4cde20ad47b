using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>mov, packing and unpacking, cvta.</summary>
internal static unsafe class MoveInstructions
{
    public static void Move32(Warp warp, Operation* op, byte* target) => Unsafe.CopyBlock(target, warp.At(op->A), 128);

    public static void Move64(Warp warp, Operation* op, byte* target) => Unsafe.CopyBlock(target, warp.At(op->A), 256);

    /// <summary>Y registers of X bytes per lane: List holds the targets, then the sources.</summary>
    public static void MoveSeveral(Warp warp, Operation* op, byte* _)
    {
        for (int i = 0; i < op->Y; i++)
        {
            byte* target = warp.Registers + op->List[i];
            byte* source = warp.At(op->List[op->Y + i]);
            for (uint m = warp.Mask; m != 0; m &= m - 1)
            {
                int lane = System.Numerics.BitOperations.TrailingZeroCount(m);
                if (op->X == 8) ((ulong*)target)[lane] = ((ulong*)source)[lane];
                else ((uint*)target)[lane] = ((uint*)source)[lane];
            }
        }
    }

    /// <summary>Adds Immediate: from an address in a window to a generic one and back.</summary>
    public static void AddImmediate(Warp warp, Operation* op, byte* target)
    {
        ulong* a = (ulong*)warp.At(op->A);
        var amount = Vector512.Create((ulong)op->Immediate);
        for (int i = 0; i < Warp.Size; i += 8) (Vector512.Load(a + i) + amount).Store((ulong*)target + i);
    }

    /// <summary>{List} into one register: Y elements of X bits.</summary>
    public static void Pack(Warp warp, Operation* op, byte* target)
    {
        ulong mask = op->X == 64 ? ulong.MaxValue : (1ul << op->X) - 1;
        bool wide = op->X * op->Y == 64;
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            ulong value = 0;
            for (int i = 0; i < op->Y; i++)
            {
                value |= (((uint*)warp.At(op->List[i]))[lane] & mask) << (i * op->X);
            }

            if (wide) ((ulong*)target)[lane] = value;
            else ((uint*)target)[lane] = (uint)value;
        }
    }

    /// <summary>One register into {List}; an offset of NoGuard is a sink.</summary>
    public static void Unpack(Warp warp, Operation* op, byte* _)
    {
        ulong mask = (1ul << op->X) - 1;
        bool wide = op->X * op->Y == 64;
        byte* a = warp.At(op->A);
        for (uint m = warp.Mask; m != 0; m &= m - 1)
        {
            int lane = System.Numerics.BitOperations.TrailingZeroCount(m);
            ulong value = wide ? ((ulong*)a)[lane] : ((uint*)a)[lane];
            for (int i = 0; i < op->Y; i++)
            {
                if (op->List[i] != Operation.NoGuard)
                {
                    ((uint*)(warp.Registers + op->List[i]))[lane] = (uint)((value >> (i * op->X)) & mask);
                }
            }
        }
    }

    /// <summary>isspacep: Immediate is the window, 0 for global.</summary>
    public static void IsSpace(Warp warp, Operation* op, byte* target)
    {
        ulong* a = (ulong*)warp.At(op->A);
        uint bits = 0;
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            bits |= MemoryAccess.Window(a[lane]) == (ulong)op->Immediate ? 1u << lane : 0;
        }

        *(uint*)target = bits;
    }
}
