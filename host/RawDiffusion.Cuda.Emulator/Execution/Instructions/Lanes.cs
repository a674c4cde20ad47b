using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

internal interface IUnary<TA, TD>
{
    static abstract TD Apply(TA a);
}

internal interface IBinary<TA, TB, TD>
{
    static abstract TD Apply(TA a, TB b);
}

internal interface ITernary<TA, TB, TC, TD>
{
    static abstract TD Apply(TA a, TB b, TC c);
}

internal interface IVector1<T>
{
    static abstract Vector512<T> Apply(Vector512<T> a);
}

internal interface IVector2<T>
{
    static abstract Vector512<T> Apply(Vector512<T> a, Vector512<T> b);
}

internal interface IVector3<T>
{
    static abstract Vector512<T> Apply(Vector512<T> a, Vector512<T> b, Vector512<T> c);
}

/// <summary>
/// Handlers that do the same to each lane. Registers of 8 and 16 bits take 4 bytes per lane, the upper ones zero.
/// </summary>
internal static unsafe class Lanes
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load<T>(byte* at, int lane)
        where T : unmanaged => sizeof(T) >= 4 ? ((T*)at)[lane] : *(T*)(at + (4 * lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(byte* at, int lane, T value)
        where T : unmanaged
    {
        if (sizeof(T) >= 4) ((T*)at)[lane] = value;
        else if (sizeof(T) == 2) ((uint*)at)[lane] = Unsafe.BitCast<T, ushort>(value);
        else ((uint*)at)[lane] = Unsafe.BitCast<T, byte>(value);
    }

    public static void Map1<TOp, TA, TD>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IUnary<TA, TD>
        where TA : unmanaged
        where TD : unmanaged
    {
        byte* a = warp.At(op->A);
        for (int lane = 0; lane < Warp.Size; lane++) Store(target, lane, TOp.Apply(Load<TA>(a, lane)));
    }

    public static void Map2<TOp, TA, TB, TD>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IBinary<TA, TB, TD>
        where TA : unmanaged
        where TB : unmanaged
        where TD : unmanaged
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            Store(target, lane, TOp.Apply(Load<TA>(a, lane), Load<TB>(b, lane)));
        }
    }

    public static void Map3<TOp, TA, TB, TC, TD>(Warp warp, Operation* op, byte* target)
        where TOp : struct, ITernary<TA, TB, TC, TD>
        where TA : unmanaged
        where TB : unmanaged
        where TC : unmanaged
        where TD : unmanaged
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        byte* c = warp.At(op->C);
        for (int lane = 0; lane < Warp.Size; lane++)
        {
            Store(target, lane, TOp.Apply(Load<TA>(a, lane), Load<TB>(b, lane), Load<TC>(c, lane)));
        }
    }

    public static void Vector1<TOp, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector1<T>
        where T : unmanaged
    {
        byte* a = warp.At(op->A);
        for (int i = 0; i < Warp.Size * sizeof(T); i += 64)
        {
            TOp.Apply(Vector512.Load((T*)(a + i))).Store((T*)(target + i));
        }
    }

    public static void Vector2<TOp, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector2<T>
        where T : unmanaged
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        for (int i = 0; i < Warp.Size * sizeof(T); i += 64)
        {
            TOp.Apply(Vector512.Load((T*)(a + i)), Vector512.Load((T*)(b + i))).Store((T*)(target + i));
        }
    }

    public static void Vector3<TOp, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IVector3<T>
        where T : unmanaged
    {
        byte* a = warp.At(op->A);
        byte* b = warp.At(op->B);
        byte* c = warp.At(op->C);
        for (int i = 0; i < Warp.Size * sizeof(T); i += 64)
        {
            TOp.Apply(Vector512.Load((T*)(a + i)), Vector512.Load((T*)(b + i)), Vector512.Load((T*)(c + i))).Store((T*)(target + i));
        }
    }
}
