using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;

namespace PrebuildKernels;

/// <summary>A GPU of a capability that does nothing: a device on it chooses kernels as it would for a real one.</summary>
internal sealed unsafe class IdleDriver(int capability, string target) : ICudaDriver
{
    private nint handles;

    // A100, RTX 3090, RTX 4090 and H100: the choice of tiles looks at the number of multiprocessors.
    public CudaDeviceInfo Device { get; } = new()
    {
        Name = "idle",
        ComputeCapability = capability,
        Multiprocessors = capability switch { 86 => 82, 89 => 128, 90 => 132, _ => 108 },
        MemoryBytes = 80L << 30,
        MaxSharedBytesPerBlock = MultiprocessorLimits.Of(capability).SharedBytesPerBlock,
        ClockHz = 1.5e9,
        MemoryBytesPerSecond = 1.5e12,
        TimesAreBounds = true,
    };

    public string Target => target;

    public ulong Allocate(long bytes) => (ulong)NativeMemory.Alloc((nuint)bytes);

    public void Free(ulong address) => NativeMemory.Free((void*)address);

    public nint AllocateHost(long bytes) => (nint)NativeMemory.Alloc((nuint)bytes);

    public void FreeHost(nint address) => NativeMemory.Free((void*)address);

    public void CopyToDevice(ulong destination, nint source, long bytes, nint stream) { }

    public void CopyToHost(nint destination, ulong source, long bytes, nint stream) { }

    public void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream) { }

    public void Fill(ulong destination, byte value, long bytes, nint stream) { }

    public nint LoadModule(ReadOnlySpan<byte> image) => ++handles;

    public void UnloadModule(nint module) { }

    public nint GetFunction(nint module, string name) => ++handles;

    public void AllowDynamicSharedMemory(nint function, int bytes) { }

    public void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream) { }

    public nint CreateStream() => ++handles;

    public void DestroyStream(nint stream) { }

    public void Synchronize(nint stream) { }

    public void WaitEvent(nint stream, nint happened) { }

    public nint CreateEvent() => ++handles;

    public void DestroyEvent(nint happened) { }

    public void RecordEvent(nint happened, nint stream) { }

    public double Elapsed(nint start, nint end) => 1;

    public nint CreateGraph() => ++handles;

    public void DestroyGraph(nint graph) { }

    public nint AddKernelNode(nint graph, ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments) => ++handles;

    public nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes) => ++handles;

    public nint InstantiateGraph(nint graph) => ++handles;

    public void DestroyExecutableGraph(nint executable) { }

    public void LaunchGraph(nint executable, nint stream) { }

    public void Dispose() { }
}
