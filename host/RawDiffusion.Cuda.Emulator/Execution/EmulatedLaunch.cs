using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>What all blocks of a launch share.</summary>
internal sealed class EmulatedLaunch
{
    private int stopped;

    public required KernelCode Kernel { get; init; }

    public required LaunchGeometry Geometry { get; init; }

    public required byte[] Arguments { get; init; }

    public required EmulatedMemory Memory { get; init; }

    public required EmulatorOptions Options { get; init; }

    public required FindingList Findings { get; init; }

    public required BlockRaces Races { get; init; }

    public required int Multiprocessors { get; init; }

    /// <summary>Where a graph's node notes what it touches; null outside graphs.</summary>
    public GraphAccesses? Accesses { get; init; }

    public int SharedBytes => Kernel.StaticSharedBytes + Geometry.SharedBytes;

    /// <summary>Set by a trap or a deadlock: the remaining blocks do not run.</summary>
    public bool Stopped => Volatile.Read(ref stopped) != 0;

    public void Stop() => Volatile.Write(ref stopped, 1);
}
