using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;

namespace RawDiffusion.Cuda;

/// <summary>The device memory of one executable: freed together.</summary>
internal sealed unsafe class DeviceMemory(ICudaDriver driver) : IDisposable
{
    private readonly List<ulong> allocations = [];

    public CudaDeviceInfo Device => driver.Device;

    /// <summary>Sum of all allocations.</summary>
    public long Bytes { get; private set; }

    /// <summary>Memory with undefined content; an empty range for no bytes.</summary>
    public DeviceRange Allocate(long bytes)
    {
        if (bytes == 0) return default;
        ulong address = driver.Allocate(bytes);
        allocations.Add(address);
        Bytes += bytes;
        return new DeviceRange(address, bytes);
    }

    /// <summary>Memory with the given content.</summary>
    public DeviceRange Upload(ReadOnlySpan<byte> data)
    {
        DeviceRange range = Allocate(data.Length);
        if (data.Length == 0) return range;
        fixed (byte* source = data) driver.CopyToDevice(range.Address, (nint)source, data.Length, 0);
        // The span ends with this call, and so must the copy.
        driver.Synchronize(0);
        return range;
    }

    public void Dispose()
    {
        foreach (ulong address in allocations) driver.Free(address);
        allocations.Clear();
    }
}
