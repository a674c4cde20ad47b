using System.Runtime.CompilerServices;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>A launch that passes over memory in tasks of equal size.</summary>
internal abstract unsafe class ElementwiseLaunch(string description, long count) : CpuLaunch
{
    // 64 KiB of floats: enough to hide the cost of a task, small enough to share out.
    private const int Chunk = 16 * 1024;

    public override string Description => description;

    public override int Tasks(int phase) => checked((int)((count + Chunk - 1) / Chunk));

    public sealed override void Run(int phase, int task, float* scratch)
    {
        long first = (long)task * Chunk;
        Run(first, (int)Math.Min(Chunk, count - first));
    }

    /// <summary>Processes elements first .. first + length.</summary>
    protected abstract void Run(long first, int length);
}

/// <summary>Loops over contiguous floats.</summary>
internal static unsafe class Elementwise
{
    /// <summary>destination = a + b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add<S, V>(float* a, float* b, float* destination, int count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        int i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes) S.Store(S.Add(S.Load(a + i), S.Load(b + i)), destination + i);
        for (; i < count; i++) destination[i] = a[i] + b[i];
    }

    /// <summary>destination = factor * source. In place is fine.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale<S, V>(float* source, float factor, float* destination, int count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        V f = S.Splat(factor);
        int i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes) S.Store(S.Multiply(S.Load(source + i), f), destination + i);
        for (; i < count; i++) destination[i] = source[i] * factor;
    }
}

/// <summary>A vector of which only the first few elements are there: the last one of a row, the same arithmetic as all others.</summary>
internal static unsafe class Part<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>As many elements as are left; 0 beyond.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load(float* source, int left) => left >= S.Lanes ? S.Load(source) : LoadFew(source, left);

    /// <summary>As many elements as are left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(V value, float* destination, int left)
    {
        if (left >= S.Lanes) S.Store(value, destination);
        else StoreFew(value, destination, left);
    }

    // Inlined: a call in a loop would have all vectors that live across it in memory instead of registers.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LoadFew(float* source, int left)
    {
        V all = S.Zero;
        for (int i = 0; i < left; i++) ((float*)&all)[i] = source[i];
        return all;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFew(V value, float* destination, int left)
    {
        for (int i = 0; i < left; i++) destination[i] = ((float*)&value)[i];
    }
}
