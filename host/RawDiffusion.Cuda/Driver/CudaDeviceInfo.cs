namespace RawDiffusion.Cuda.Driver;

/// <summary>What a device can do, as the driver or the published tables say.</summary>
public sealed record CudaDeviceInfo
{
    /// <summary>Name for people: NVIDIA H100 80GB HBM3.</summary>
    public required string Name { get; init; }

    /// <summary>Compute capability, 8.0 as 80.</summary>
    public required int ComputeCapability { get; init; }

    /// <summary>Number of multiprocessors.</summary>
    public required int Multiprocessors { get; init; }

    /// <summary>Device memory in bytes.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Most shared memory of one block, after opting in.</summary>
    public required int MaxSharedBytesPerBlock { get; init; }

    /// <summary>Boost clock in hertz.</summary>
    public required double ClockHz { get; init; }

    /// <summary>Peak rate of device memory.</summary>
    public required double MemoryBytesPerSecond { get; init; }

    /// <summary>Whether <see cref="ICudaDriver.Elapsed"/> gives lower bounds from counted work instead of measurements.</summary>
    public bool TimesAreBounds { get; init; }
}
