using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Launches;

/// <summary>What a node makes the device do.</summary>
internal abstract record DeviceLaunch
{
    /// <summary>For people: the kernel.</summary>
    public abstract string Name { get; }
}

/// <summary>A kernel with its geometry and arguments fixed, and the memory it touches.</summary>
/// <param name="Variant">What to compile.</param>
/// <param name="Geometry">Grid and block.</param>
/// <param name="Arguments">The parameters as C lays out a struct.</param>
/// <param name="Reads">Memory it reads.</param>
/// <param name="Writes">Memory it writes.</param>
internal sealed record KernelLaunch(
    KernelVariant Variant, LaunchGeometry Geometry, byte[] Arguments, IReadOnlyList<DeviceRange> Reads, IReadOnlyList<DeviceRange> Writes)
        : DeviceLaunch
{
    public override string Name => Variant.Kernel;
}

/// <summary>What processes exchange: between kernels, and no part of a CUDA graph.</summary>
/// <param name="Name">For people.</param>
/// <param name="Run">Queues it after what a stream has, and before what it gets later.</param>
internal sealed record ExchangeLaunch(string Name, Action<nint> Run) : DeviceLaunch
{
    public override string Name { get; } = Name;
}
