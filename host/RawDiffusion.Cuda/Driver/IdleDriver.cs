using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Driver;

/// <summary>A GPU that does nothing: a device on it chooses and asks for the kernels that it would for a real one.</summary>
/// <param name="device">Which GPU it stands for.</param>
/// <param name="target">What kernels would be compiled for.</param>
public sealed unsafe class IdleDriver(CudaDeviceInfo device, string target) : ICudaDriver
{
    private const ulong Alignment = 256;

    private nint handles;
    private ulong addresses = Alignment;

    /// <summary>
    /// Stands for a GPU of a compute capability: A100, RTX 3090, RTX 4090 or H100, in what the choice of kernels looks at.
    /// </summary>
    public IdleDriver(KernelTarget target) : this(
        new CudaDeviceInfo
        {
            Name = "idle",
            ComputeCapability = target.ComputeCapability,
            Multiprocessors = target.ComputeCapability switch { 86 => 82, 89 => 128, 90 => 132, _ => 108 },
            MemoryBytes = 80L << 30,
            MaxSharedBytesPerBlock = MultiprocessorLimits.Of(target.ComputeCapability).SharedBytesPerBlock,
            ClockHz = 1.5e9,
            MemoryBytesPerSecond = 1.5e12,
            TimesAreBounds = true,
        },
        target.ToString())
    {
    }

    /// <inheritdoc/>
    public CudaDeviceInfo Device => device;

    /// <inheritdoc/>
    public string Target => target;

    /// <inheritdoc/>
    public ulong Allocate(long bytes)
    {
        ulong address = addresses;
        addresses += ((ulong)bytes + Alignment - 1) / Alignment * Alignment;
        return address;
    }

    /// <inheritdoc/>
    public void Free(ulong address) { }

    /// <inheritdoc/>
    public nint AllocateHost(long bytes) => (nint)NativeMemory.AllocZeroed((nuint)bytes);

    /// <inheritdoc/>
    public void FreeHost(nint address) => NativeMemory.Free((void*)address);

    /// <inheritdoc/>
    public void CopyToDevice(ulong destination, nint source, long bytes, nint stream) { }

    /// <inheritdoc/>
    public void CopyToHost(nint destination, ulong source, long bytes, nint stream) { }

    /// <inheritdoc/>
    public void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream) { }

    /// <inheritdoc/>
    public void Fill(ulong destination, byte value, long bytes, nint stream) { }

    /// <inheritdoc/>
    public nint LoadModule(ReadOnlySpan<byte> image) => ++handles;

    /// <inheritdoc/>
    public void UnloadModule(nint module) { }

    /// <inheritdoc/>
    public nint GetFunction(nint module, string name) => ++handles;

    /// <inheritdoc/>
    public void AllowDynamicSharedMemory(nint function, int bytes) { }

    /// <inheritdoc/>
    public void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream) { }

    /// <inheritdoc/>
    public nint CreateStream() => ++handles;

    /// <inheritdoc/>
    public void DestroyStream(nint stream) { }

    /// <inheritdoc/>
    public void Synchronize(nint stream) { }

    /// <inheritdoc/>
    public void WaitEvent(nint stream, nint happened) { }

    /// <inheritdoc/>
    public nint CreateEvent() => ++handles;

    /// <inheritdoc/>
    public void DestroyEvent(nint happened) { }

    /// <inheritdoc/>
    public void RecordEvent(nint happened, nint stream) { }

    /// <inheritdoc/>
    public double Elapsed(nint start, nint end) => 1;

    /// <inheritdoc/>
    public nint CreateGraph() => ++handles;

    /// <inheritdoc/>
    public void DestroyGraph(nint graph) { }

    /// <inheritdoc/>
    public nint AddKernelNode(
        nint graph, ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments) => ++handles;

    /// <inheritdoc/>
    public nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes) => ++handles;

    /// <inheritdoc/>
    public nint InstantiateGraph(nint graph) => ++handles;

    /// <inheritdoc/>
    public void DestroyExecutableGraph(nint executable) { }

    /// <inheritdoc/>
    public void LaunchGraph(nint executable, nint stream) { }

    /// <inheritdoc/>
    public void Dispose() { }
}
