using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>
/// What loads and stores of all spaces share. A memory operation has the address in <see cref="Operation.A"/> (C bytes per
/// lane) plus <see cref="Operation.Immediate"/>, X bytes per element, Y elements whose registers are in
/// <see cref="Operation.List"/>, and flags in Z.
/// </summary>
internal static unsafe class MemoryAccess
{
    public const int Signed = 1;
    public const int Wide = 2;

    /// <summary>Orders threads or is ordered by other means: volatile, relaxed, acquire, release.</summary>
    public const int Synchronizing = 4;

    /// <summary>Constant memory: no traffic worth counting.</summary>
    public const int Uncounted = 8;

    /// <summary>Through the read-only cache, which sees nothing that the same launch writes: ld.global.nc.</summary>
    public const int Incoherent = 16;

    public static void Addresses(Warp warp, Operation* op)
    {
        ulong* to = warp.Addresses;
        byte* from = warp.At(op->A);
        if (op->C == 8)
        {
            var offset = Vector512.Create((ulong)op->Immediate);
            for (int i = 0; i < Warp.Size; i += 8) (Vector512.Load((ulong*)from + i) + offset).Store(to + i);
        }
        else
        {
            for (int i = 0; i < Warp.Size; i++) to[i] = (uint)(((int*)from)[i] + (int)op->Immediate);
        }
    }

    /// <summary>Whether all 32 lanes take part and lie side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Contiguous(Warp warp, int bytes)
    {
        if (warp.Mask != uint.MaxValue) return false;

        ulong* at = warp.Addresses;
        Vector512<ulong> step = Vector512.Create(0ul, 1, 2, 3, 4, 5, 6, 7) * Vector512.Create((ulong)bytes);
        Vector512<ulong> difference = Vector512<ulong>.Zero;
        for (int i = 0; i < Warp.Size; i += 8)
        {
            difference |= Vector512.Load(at + i) ^ (Vector512.Create(at[0] + (ulong)(i * bytes)) + step);
        }

        return difference == Vector512<ulong>.Zero;
    }

    /// <summary>One lane's bytes from memory into the registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToRegisters(Warp warp, Operation* op, int lane, byte* from)
    {
        if (op->X == 4 && (op->Z & Wide) == 0)
        {
            for (int i = 0; i < op->Y; i++) ((uint*)(warp.Registers + op->List[i]))[lane] = ((uint*)from)[i];
        }
        else
        {
            ToRegistersOfOtherWidth(warp, op, lane, from);
        }
    }

    private static void ToRegistersOfOtherWidth(Warp warp, Operation* op, int lane, byte* from)
    {
        for (int i = 0; i < op->Y; i++)
        {
            long value = op->X switch
            {
                1 => (op->Z & Signed) != 0 ? (sbyte)from[i] : from[i],
                2 => (op->Z & Signed) != 0 ? ((short*)from)[i] : ((ushort*)from)[i],
                4 => (op->Z & Signed) != 0 ? ((int*)from)[i] : ((uint*)from)[i],
                _ => ((long*)from)[i],
            };
            if ((op->Z & Wide) != 0) ((long*)(warp.Registers + op->List[i]))[lane] = value;
            else ((int*)(warp.Registers + op->List[i]))[lane] = (int)value;
        }
    }

    /// <summary>One lane's registers to memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FromRegisters(Warp warp, Operation* op, int lane, byte* to)
    {
        for (int i = 0; i < op->Y; i++)
        {
            byte* register = warp.At(op->List[i]);
            switch (op->X)
            {
                case 4:
                    ((uint*)to)[i] = ((uint*)register)[lane * (1 + ((op->Z & Wide) >> 1))];
                    break;
                case 8:
                    ((ulong*)to)[i] = ((ulong*)register)[lane];
                    break;
                case 2:
                    ((ushort*)to)[i] = (ushort)((uint*)register)[lane * (1 + ((op->Z & Wide) >> 1))];
                    break;
                default:
                    to[i] = (byte)((uint*)register)[lane * (1 + ((op->Z & Wide) >> 1))];
                    break;
            }
        }
    }

    /// <summary>A generic access: each lane's address says which memory is meant.</summary>
    public static void Generic(Warp warp, Operation* op, bool write)
    {
        Addresses(warp, op);
        uint mask = warp.Mask;
        uint rest = mask;
        while (rest != 0)
        {
            ulong window = Window(warp.Addresses[BitOperations.TrailingZeroCount(rest)]);
            uint same = 0;
            for (uint m = rest; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                same |= Window(warp.Addresses[lane]) == window ? 1u << lane : 0;
            }

            rest &= ~same;
            warp.Mask = same;
            for (uint m = window == 0 ? 0 : same; m != 0; m &= m - 1)
            {
                warp.Addresses[BitOperations.TrailingZeroCount(m)] -= window;
            }

            switch (window, write)
            {
                case (EmulatedMemory.SharedWindow, false):
                    SharedMemoryInstructions.LoadAddressed(warp, op);
                    break;
                case (EmulatedMemory.SharedWindow, true):
                    SharedMemoryInstructions.StoreAddressed(warp, op);
                    break;
                case (EmulatedMemory.LocalWindow, _):
                    LocalMemoryInstructions.Addressed(warp, op, write);
                    break;
                case (EmulatedMemory.ParameterWindow, _):
                    LocalMemoryInstructions.LoadParameterAddressed(warp, op);
                    break;
                case (_, false):
                    GlobalMemoryInstructions.LoadAddressed(warp, op);
                    break;
                default:
                    GlobalMemoryInstructions.StoreAddressed(warp, op);
                    break;
            }
        }

        warp.Mask = mask;
    }

    public static ulong Window(ulong address) =>
        address is >= EmulatedMemory.SharedWindow and < EmulatedMemory.ParameterWindow + EmulatedMemory.WindowBytes
        ? address & ~(EmulatedMemory.WindowBytes - 1) : 0;

    public static void LoadGeneric(Warp warp, Operation* op, byte* _) => Generic(warp, op, write: false);

    public static void StoreGeneric(Warp warp, Operation* op, byte* _) => Generic(warp, op, write: true);
}
