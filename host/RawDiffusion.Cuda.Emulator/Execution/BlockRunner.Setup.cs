using System.Diagnostics;
using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>What a launch needs before its first block: memory for registers, constants, special registers.</summary>
internal sealed unsafe partial class BlockRunner
{
    /// <summary>Gets ready for the blocks of a launch.</summary>
    public void Prepare(EmulatedLaunch launch)
    {
        Launch = launch;
        kernel = launch.Kernel;
        LaunchGeometry geometry = launch.Geometry;
        threadCount = (int)geometry.Block.Count;
        warpCount = (threadCount + Warp.Size - 1) / Warp.Size;
        SharedBytes = launch.SharedBytes;
        LocalBytes = kernel.LocalBytes;
        CheckUndefined = launch.Options.CheckUndefined;
        CheckSharedRaces = launch.Options.CheckSharedRaces;
        Counters.Reset(kernel);

        long perWarp = Round(kernel.RegisterBytes) + Round((long)LocalBytes * Warp.Size);
        long needed = Round(kernel.ConstantBytes) + Round(SharedBytes) + perWarp * warpCount + 64;
        if (needed > arenaBytes)
        {
            NativeMemory.AlignedFree(arena);
            arena = (byte*)NativeMemory.AlignedAlloc((nuint)needed, 64);
            arenaBytes = needed;
        }

        constants = arena + Round(kernel.ConstantBytes);
        Shared = constants;
        byte* next = Shared + Round(SharedBytes);
        for (int i = 0; i < warpCount; i++)
        {
            warps[i].Registers = next;
            warps[i].Constants = constants;
            warps[i].Local = next + Round(kernel.RegisterBytes);
            NativeMemory.Clear(next, (nuint)kernel.RegisterBytes);
            next += perWarp;
        }

        FillConstants();
        FillThreadSpecials();
    }

    private static long Round(long bytes) => (bytes + 63) & ~63L;

    private void FillConstants()
    {
        foreach ((int offset, long value, int width) in kernel.Constants) Broadcast(offset, value, width);

        foreach ((int offset, int from, int bytes, bool signed, int width) in kernel.ParameterSlots)
        {
            long value = 0;
            for (int i = 0; i < bytes; i++) value |= (long)Launch.Arguments[from + i] << (8 * i);

            Broadcast(offset, signed ? value << (64 - 8 * bytes) >> (64 - 8 * bytes) : value, width);
        }

        LaunchGeometry geometry = Launch.Geometry;
        foreach ((int offset, LaunchSpecial special) in kernel.LaunchSpecials)
        {
            long? value = special switch
            {
                LaunchSpecial.GridX => geometry.Grid.X,
                LaunchSpecial.GridY => geometry.Grid.Y,
                LaunchSpecial.GridZ => geometry.Grid.Z,
                LaunchSpecial.ThreadsX => geometry.Block.X,
                LaunchSpecial.ThreadsY => geometry.Block.Y,
                LaunchSpecial.ThreadsZ => geometry.Block.Z,
                LaunchSpecial.DynamicSharedBytes => geometry.SharedBytes,
                LaunchSpecial.TotalSharedBytes => SharedBytes,
                LaunchSpecial.MultiprocessorCount => Launch.Multiprocessors,
                LaunchSpecial.BlockX or LaunchSpecial.BlockY or LaunchSpecial.BlockZ => null, // another in each block
                _ => throw new UnreachableException($"there is no special register {special}"),
            };
            if (value is not null) Broadcast(offset, value.Value, 4);
        }
    }

    private void Broadcast(int offset, long value, int width)
    {
        if (width == 8) new Span<long>(constants + offset, Warp.Size).Fill(value);
        else new Span<int>(constants + offset, width == 4 ? Warp.Size : 1).Fill((int)value);
    }

    private void FillThreadSpecials()
    {
        Dim3 block = Launch.Geometry.Block;
        foreach ((int offset, ThreadSpecial special) in kernel.ThreadSpecials)
        {
            for (int thread = 0; thread < warpCount * Warp.Size; thread++)
            {
                int lane = thread % Warp.Size;
                uint bit = 1u << lane;
                ((uint*)(warps[thread / Warp.Size].Registers + offset))[lane] = special switch
                {
                    ThreadSpecial.X => (uint)(thread % block.X),
                    ThreadSpecial.Y => (uint)(thread / block.X % block.Y),
                    ThreadSpecial.Z => (uint)(thread / block.X / block.Y),
                    ThreadSpecial.Lane => (uint)lane,
                    ThreadSpecial.Warp => (uint)(thread / Warp.Size),
                    ThreadSpecial.MaskEqual => bit,
                    ThreadSpecial.MaskLess => bit - 1,
                    ThreadSpecial.MaskLessEqual => (bit - 1) | bit,
                    ThreadSpecial.MaskGreater => ~((bit - 1) | bit),
                    ThreadSpecial.MaskGreaterEqual => ~(bit - 1),
                    _ => throw new UnreachableException($"there is no special register {special}"),
                };
            }
        }
    }
}
