namespace RawDiffusion.Cuda.Driver;

/// <summary>
/// The seam between the CUDA device and what executes its kernels: one context on one GPU, or the emulator. Every call
/// that the driver refuses throws a <see cref="CudaException"/> that names the call and what it was given. Calls that take
/// a stream return before the work is done; errors of that work may come with a later call. Not thread-safe.
/// </summary>
/// <remarks>
/// Handles are opaque and belong to the driver that made them. Device memory is addressed by <see cref="ulong"/>. Stream 0
/// is the default stream.
/// </remarks>
public interface ICudaDriver : IDisposable
{
    /// <summary>What executes.</summary>
    CudaDeviceInfo Device { get; }

    /// <summary>
    /// What kernels must be compiled for, as NVRTC's <c>-arch</c> takes it: <c>sm_90</c> gives machine code,
    /// <c>compute_80</c> gives PTX.
    /// </summary>
    string Target { get; }

    /// <summary>Device memory on a 256-byte boundary, content undefined. cuMemAlloc.</summary>
    ulong Allocate(long bytes);

    /// <summary>Frees device memory. cuMemFree.</summary>
    void Free(ulong address);

    /// <summary>
    /// Says that no launch may touch these bytes, padding between pieces of an allocation; called in the order of their addresses. A
    /// driver that checks accesses reports those that do, others do nothing.
    /// </summary>
    void Fence(ulong address, long bytes)
    {
    }

    /// <summary>Page-locked host memory, so that copies need no staging. cuMemHostAlloc.</summary>
    nint AllocateHost(long bytes);

    /// <summary>Frees page-locked memory. cuMemFreeHost.</summary>
    void FreeHost(nint address);

    /// <summary>Host to device. cuMemcpyHtoDAsync.</summary>
    void CopyToDevice(ulong destination, nint source, long bytes, nint stream);

    /// <summary>Device to host. cuMemcpyDtoHAsync.</summary>
    void CopyToHost(nint destination, ulong source, long bytes, nint stream);

    /// <summary>Device to device. cuMemcpyDtoDAsync.</summary>
    void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream);

    /// <summary>Fills device memory with a byte. cuMemsetD8Async.</summary>
    void Fill(ulong destination, byte value, long bytes, nint stream);

    /// <summary>Loads compiled code, PTX (text, zero-terminated or not) or machine code. cuModuleLoadData.</summary>
    nint LoadModule(ReadOnlySpan<byte> image);

    /// <summary>Unloads a module; its functions must not run any more. cuModuleUnload.</summary>
    void UnloadModule(nint module);

    /// <summary>A kernel of a module by its name. cuModuleGetFunction.</summary>
    nint GetFunction(nint module, string name);

    /// <summary>Lets launches of a function use more dynamic shared memory than 48 KiB. cuFuncSetAttribute.</summary>
    void AllowDynamicSharedMemory(nint function, int bytes);

    /// <summary>Starts a kernel. cuLaunchKernel.</summary>
    /// <param name="function">From <see cref="GetFunction"/>.</param>
    /// <param name="geometry">Grid, block, dynamic shared memory.</param>
    /// <param name="arguments">All parameters in order, each on its natural alignment, as C lays out a struct.</param>
    /// <param name="stream">Where to queue it.</param>
    void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream);

    /// <summary>cuStreamCreate, non-blocking.</summary>
    nint CreateStream();

    /// <summary>cuStreamDestroy.</summary>
    void DestroyStream(nint stream);

    /// <summary>Waits for all work of a stream; errors of that work are thrown here. cuStreamSynchronize.</summary>
    void Synchronize(nint stream);

    /// <summary>Later work of a stream waits for an event of another. cuStreamWaitEvent.</summary>
    void WaitEvent(nint stream, nint happened);

    /// <summary>cuEventCreate.</summary>
    nint CreateEvent();

    /// <summary>cuEventDestroy.</summary>
    void DestroyEvent(nint happened);

    /// <summary>cuEventRecord.</summary>
    void RecordEvent(nint happened, nint stream);

    /// <summary>
    /// Seconds between two events that have happened. cuEventElapsedTime. Where
    /// <see cref="CudaDeviceInfo.TimesAreBounds"/>, this is the least time that the counted work can take.
    /// </summary>
    double Elapsed(nint start, nint end);

    /// <summary>An empty graph. cuGraphCreate.</summary>
    nint CreateGraph();

    /// <summary>cuGraphDestroy.</summary>
    void DestroyGraph(nint graph);

    /// <summary>Adds a launch that waits for other nodes. cuGraphAddKernelNode.</summary>
    nint AddKernelNode(nint graph,
        ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments);

    /// <summary>Adds a copy on the device that waits for other nodes. cuGraphAddMemcpyNode.</summary>
    nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes);

    /// <summary>Makes a graph launchable. cuGraphInstantiate.</summary>
    nint InstantiateGraph(nint graph);

    /// <summary>cuGraphExecDestroy.</summary>
    void DestroyExecutableGraph(nint executable);

    /// <summary>Starts all nodes of a graph. cuGraphLaunch.</summary>
    void LaunchGraph(nint executable, nint stream);
}
