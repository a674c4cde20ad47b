using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Cuda.Emulator.Memory;

namespace RawDiffusion.Cuda.Emulator;

/// <summary>Memory, copies, streams and events.</summary>
public sealed unsafe partial class EmulatedDriver
{
    /// <summary>Seconds of modelled work that each stream has behind it.</summary>
    private readonly Dictionary<nint, double> streams = [];
    private readonly Dictionary<nint, double?> events = [];
    private long allocated;

    /// <inheritdoc/>
    public ulong Allocate(long bytes)
    {
        if (bytes <= 0)
        {
            throw new CudaException("cuMemAlloc", "INVALID_VALUE", $"{bytes} bytes: at least 1 is needed");
        }

        if (allocated + bytes > rates.MemoryBytes)
        {
            throw new CudaException("cuMemAlloc", "OUT_OF_MEMORY", $"{bytes} bytes, {allocated} of {rates.MemoryBytes} are taken");
        }

        allocated += bytes;
        return memory.Allocate(bytes);
    }

    /// <inheritdoc/>
    public void Free(ulong address)
    {
        Allocation? allocation = memory.Near(address);
        if (allocation is null || allocation.Address != address || allocation.Owner.Length > 0)
        {
            throw new CudaException("cuMemFree", "INVALID_VALUE",
                $"0x{address:x} is {memory.Describe(address, 1)} and not the start of an allocation");
        }

        if (allocation.Freed)
        {
            throw new CudaException("cuMemFree", "INVALID_VALUE", $"0x{address:x} was freed before");
        }

        allocated -= allocation.Bytes;
        allocation.Dispose();
    }

    /// <inheritdoc/>
    public void Fence(ulong address, long bytes)
    {
        (Allocation allocation, long offset) = Range(address, bytes, "Fence");
        allocation.Fence(offset, bytes);
    }

    /// <inheritdoc/>
    public nint AllocateHost(long bytes)
    {
        if (bytes <= 0)
        {
            throw new CudaException("cuMemHostAlloc", "INVALID_VALUE", $"{bytes} bytes: at least 1 is needed");
        }

        nint address = (nint)NativeMemory.AlignedAlloc((nuint)bytes, 4096);
        hostMemory.Add(address);
        return address;
    }

    /// <inheritdoc/>
    public void FreeHost(nint address)
    {
        if (!hostMemory.Remove(address))
        {
            throw new CudaException("cuMemFreeHost", "INVALID_VALUE",
                $"0x{address:x} is not page-locked memory of this driver, or was freed before");
        }

        NativeMemory.AlignedFree((void*)address);
    }

    /// <inheritdoc/>
    public void CopyToDevice(ulong destination, nint source, long bytes, nint stream)
    {
        CheckStream(stream, "cuMemcpyHtoDAsync");
        (Allocation allocation, long offset) = Range(destination, bytes, "cuMemcpyHtoDAsync");
        Copy(allocation.Data + offset, (byte*)source, bytes);
        Define(allocation, offset, bytes);
        streams[stream] += bytes / rates.HostBytesPerSecond;
    }

    /// <inheritdoc/>
    public void CopyToHost(nint destination, ulong source, long bytes, nint stream)
    {
        CheckStream(stream, "cuMemcpyDtoHAsync");
        (Allocation allocation, long offset) = Range(source, bytes, "cuMemcpyDtoHAsync");
        Copy((byte*)destination, allocation.Data + offset, bytes);
        streams[stream] += bytes / rates.HostBytesPerSecond;
    }

    /// <inheritdoc/>
    public void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream)
    {
        CheckStream(stream, "cuMemcpyDtoDAsync");
        CopyOnDevice(destination, source, bytes, null, "cuMemcpyDtoDAsync");
        streams[stream] += SecondsOfCopy(bytes);
    }

    private double SecondsOfCopy(long bytes) => rates.LaunchSeconds + (2 * bytes / rates.MemoryBytesPerSecond);

    private void CopyOnDevice(ulong destination, ulong source, long bytes, GraphAccesses? accesses, string call)
    {
        (Allocation to, long toOffset) = Range(destination, bytes, call);
        (Allocation from, long fromOffset) = Range(source, bytes, call);
        accesses?.Note(from, (ulong)fromOffset, bytes, write: false);
        accesses?.Note(to, (ulong)toOffset, bytes, write: true);
        Copy(to.Data + toOffset, from.Data + fromOffset, bytes);
        Copy(to.Defined + toOffset, from.Defined + fromOffset, bytes);
    }

    /// <inheritdoc/>
    public void Fill(ulong destination, byte value, long bytes, nint stream)
    {
        CheckStream(stream, "cuMemsetD8Async");
        (Allocation allocation, long offset) = Range(destination, bytes, "cuMemsetD8Async");
        NativeMemory.Fill(allocation.Data + offset, (nuint)bytes, value);
        Define(allocation, offset, bytes);
        streams[stream] += rates.LaunchSeconds + (bytes / rates.MemoryBytesPerSecond);
    }

    private static void Copy(byte* to, byte* from, long bytes) => Buffer.MemoryCopy(from, to, bytes, bytes);

    private static void Define(Allocation allocation, long offset, long bytes) =>
        NativeMemory.Fill(allocation.Defined + offset, (nuint)bytes, 0xFF);

    private (Allocation Allocation, long Offset) Range(ulong address, long bytes, string call)
    {
        Allocation? allocation = bytes >= 0 ? memory.Find(address, bytes) : null;
        return allocation is null
            ? throw new CudaException(call, "INVALID_VALUE", $"{bytes} bytes at 0x{address:x}: {memory.Describe(address, bytes)}")
            : (allocation, (long)(address - allocation.Address));
    }

    private void CheckStream(nint stream, string call)
    {
        if (!streams.ContainsKey(stream))
        {
            throw new CudaException(call, "INVALID_HANDLE", $"stream {stream} does not exist, or no longer");
        }
    }

    /// <inheritdoc/>
    public nint CreateStream()
    {
        streams.Add(nextHandle, 0);
        return nextHandle++;
    }

    /// <inheritdoc/>
    public void DestroyStream(nint stream)
    {
        CheckStream(stream, "cuStreamDestroy");
        if (stream == 0)
        {
            throw new CudaException("cuStreamDestroy", "INVALID_HANDLE", "the default stream cannot be destroyed");
        }

        streams.Remove(stream);
    }

    /// <inheritdoc/>
    public void Synchronize(nint stream) => CheckStream(stream, "cuStreamSynchronize");

    /// <inheritdoc/>
    public void WaitEvent(nint stream, nint happened)
    {
        CheckStream(stream, "cuStreamWaitEvent");

        // As the driver: waiting for an event that nobody recorded waits for nothing.
        streams[stream] = Math.Max(streams[stream], Known(events, happened, "cuStreamWaitEvent", "event") ?? 0);
    }

    /// <inheritdoc/>
    public nint CreateEvent()
    {
        events.Add(nextHandle, null);
        return nextHandle++;
    }

    /// <inheritdoc/>
    public void DestroyEvent(nint happened)
    {
        Known(events, happened, "cuEventDestroy", "event");
        events.Remove(happened);
    }

    /// <inheritdoc/>
    public void RecordEvent(nint happened, nint stream)
    {
        CheckStream(stream, "cuEventRecord");
        Known(events, happened, "cuEventRecord", "event");
        events[happened] = streams[stream];
    }

    /// <inheritdoc/>
    public double Elapsed(nint start, nint end)
    {
        double? from = Known(events, start, "cuEventElapsedTime", "event"), to = Known(events, end, "cuEventElapsedTime", "event");
        return from is null || to is null
            ? throw new CudaException("cuEventElapsedTime", "INVALID_HANDLE", "an event was never recorded")
            : to.Value - from.Value;
    }
}
