using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Cpu;

/// <summary>
/// Zeroed native memory on a 64-byte boundary, with one owner that disposes it. With
/// <see cref="TrackAllocations"/> on, <see cref="Leaks"/> tells where each live buffer was allocated.
/// </summary>
public sealed unsafe class NativeBuffer : IDisposable
{
    private const int Alignment = 64;
    private static readonly Lock Gate = new();
    private static readonly Dictionary<NativeBuffer, string> Live = [];
    private readonly float* start;
    private void* memory;

    /// <summary>Allocates.</summary>
    /// <param name="bytes">Size.</param>
    /// <param name="what">What it is for, as a noun: for the error where there is no such block.</param>
    /// <param name="hugePages">
    /// Whether to ask for huge pages where the buffer is large: they make repeated passes faster and the first touch slower.
    /// </param>
    /// <exception cref="HostMemoryException">The system has no such block.</exception>
    public NativeBuffer(long bytes, string what, bool hugePages = false)
    {
        ByteCount = bytes;
        // Not AlignedAlloc and Clear: large blocks then come as fresh zero pages that nobody has to write first.
        bool large = hugePages && bytes >= 2 * HugePages.Size;
        int alignment = large ? HugePages.Size : Alignment;
        memory = HostMemory.AllocateZeroed(bytes + alignment, what);
        start = (float*)(((nint)memory + alignment - 1) & -alignment);
        if (large) HugePages.Advise(start, (nuint)bytes);
        if (TrackAllocations)
            lock (Gate) Live.Add(this, Environment.StackTrace);
    }

    /// <summary>Frees a buffer whose owner forgot it.</summary>
    ~NativeBuffer() => Free();

    /// <summary>Whether to remember where buffers were allocated; for tests.</summary>
    public static bool TrackAllocations { get; set; }

    /// <summary>Stack traces of the allocations of all tracked buffers that are not disposed.</summary>
    public static IReadOnlyList<string> Leaks
    {
        get
        {
            lock (Gate) return [.. Live.Values];
        }
    }

    /// <summary>Size in bytes.</summary>
    public long ByteCount { get; }

    /// <summary>First byte, as floats.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was freed.</exception>
    public float* Pointer => memory != null ? start : throw new ObjectDisposedException(nameof(NativeBuffer));

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (Gate) Live.Remove(this);
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(memory);
        memory = null;
    }
}
