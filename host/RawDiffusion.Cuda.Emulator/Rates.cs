using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Emulator;

/// <summary>
/// Published limits and peak rates of one product per architecture, from NVIDIA's white papers (A100 and H100: "Tensor Core
/// GPU Architecture"; GA102 and Ada: "GPU Architecture", product tables) and the CUDA programming guide's tables of
/// compute capabilities and arithmetic throughput. Dense figures, without sparsity, at the boost clock.
/// </summary>
public sealed record Rates
{
    /// <summary>Name of the product that the rates are of.</summary>
    public required string Name { get; init; }

    /// <summary>Compute capability, 8.0 as 80.</summary>
    public required int Architecture { get; init; }

    /// <summary>Number of multiprocessors.</summary>
    public required int Multiprocessors { get; init; }

    /// <summary>Boost clock in hertz.</summary>
    public required double ClockHz { get; init; }

    /// <summary>float32 operations per multiprocessor and clock, a fused multiply-add counted as two.</summary>
    public double Float32PerClock => TensorRates.FlopsPerClock(Architecture, Precision.Fp32);

    /// <summary>f16 and bf16 operations outside tensor cores per multiprocessor and clock.</summary>
    public required double Float16PerClock { get; init; }

    /// <summary>float64 operations per multiprocessor and clock.</summary>
    public required double Float64PerClock { get; init; }

    /// <summary>32-bit integer operations per multiprocessor and clock.</summary>
    public required double IntegerPerClock { get; init; }

    /// <summary>Transcendental operations (ex2, rcp, rsqrt, ..) per multiprocessor and clock.</summary>
    public double TranscendentalPerClock => 16;

    /// <summary>Warp instructions per multiprocessor and clock: four schedulers.</summary>
    public double IssuesPerClock => 4;

    /// <summary>Shared-memory wavefronts of 128 bytes per multiprocessor and clock.</summary>
    public double WavefrontsPerClock => 1;

    /// <summary>Tensor-core operations per second with f16 or bf16 operands and float32 accumulation.</summary>
    public double MatrixHalfPerSecond => Tensor(Precision.Bf16);

    /// <summary>Tensor-core operations per second with f16 operands and f16 accumulation.</summary>
    public required double MatrixHalfAccumulatorPerSecond { get; init; }

    /// <summary>Tensor-core operations per second with tf32 operands.</summary>
    public double MatrixTensorFloatPerSecond => Tensor(Precision.Tf32);

    /// <summary>Tensor-core operations per second with 8-bit integer operands.</summary>
    public required double MatrixIntegerPerSecond { get; init; }

    /// <summary>Device memory's peak rate in bytes per second.</summary>
    public required double MemoryBytesPerSecond { get; init; }

    /// <summary>Bytes that the L2 cache gives per clock, all multiprocessors together.</summary>
    public required double CacheBytesPerClock { get; init; }

    /// <summary>Device memory in bytes.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Most shared memory of one block, after opting in.</summary>
    public required int MaxSharedBytesPerBlock { get; init; }

    /// <summary>Seconds that a launch takes at least, however little it does (an empty kernel in a stream).</summary>
    public double LaunchSeconds => 2e-6;

    /// <summary>Bytes per second between host and device: PCI Express 4.0 x16 in practice.</summary>
    public double HostBytesPerSecond => 25e9;

    /// <summary>The rates of an architecture.</summary>
    /// <param name="architecture">80, 86, 89 or 90.</param>
    /// <exception cref="ArgumentOutOfRangeException">Another architecture.</exception>
    public static Rates Of(int architecture) => architecture switch
    {
        80 => new()
        {
            Name = "NVIDIA A100-SXM4-80GB",
            Architecture = 80,
            Multiprocessors = 108,
            ClockHz = 1.41e9,
            Float16PerClock = 512,
            Float64PerClock = 64,
            IntegerPerClock = 64,
            MatrixHalfAccumulatorPerSecond = 312e12,
            MatrixIntegerPerSecond = 624e12,
            MemoryBytesPerSecond = 2039e9,
            CacheBytesPerClock = 5120,
            MemoryBytes = 80L << 30,
            MaxSharedBytesPerBlock = 163 << 10,
        },
        86 => new()
        {
            Name = "NVIDIA GeForce RTX 3090",
            Architecture = 86,
            Multiprocessors = 82,
            ClockHz = 1.695e9,
            Float16PerClock = 256,
            Float64PerClock = 4,
            IntegerPerClock = 64,
            MatrixHalfAccumulatorPerSecond = 142e12,
            MatrixIntegerPerSecond = 284e12,
            MemoryBytesPerSecond = 936e9,
            CacheBytesPerClock = 3072,
            MemoryBytes = 24L << 30,
            MaxSharedBytesPerBlock = 99 << 10,
        },
        89 => new()
        {
            Name = "NVIDIA GeForce RTX 4090",
            Architecture = 89,
            Multiprocessors = 128,
            ClockHz = 2.52e9,
            Float16PerClock = 256,
            Float64PerClock = 4,
            IntegerPerClock = 64,
            MatrixHalfAccumulatorPerSecond = 330.3e12,
            MatrixIntegerPerSecond = 660.6e12,
            MemoryBytesPerSecond = 1008e9,
            CacheBytesPerClock = 3072,
            MemoryBytes = 24L << 30,
            MaxSharedBytesPerBlock = 99 << 10,
        },
        90 => new()
        {
            Name = "NVIDIA H100 80GB HBM3",
            Architecture = 90,
            Multiprocessors = 132,
            ClockHz = 1.83e9, // at which the published 989 TFLOP/s are reached
            Float16PerClock = 512,
            Float64PerClock = 128,
            IntegerPerClock = 64,
            MatrixHalfAccumulatorPerSecond = 989.4e12,
            MatrixIntegerPerSecond = 1978.9e12,
            MemoryBytesPerSecond = 3352e9,
            CacheBytesPerClock = 5120,
            MemoryBytes = 80L << 30,
            MaxSharedBytesPerBlock = 227 << 10,
        },
        _ => throw new ArgumentOutOfRangeException(
        nameof(architecture), architecture, "the emulator knows the architectures 80, 86, 89 and 90"),
    };

    internal CudaDeviceInfo ToDeviceInfo() => new()
    {
        Name = $"{Name} (emulated)",
        ComputeCapability = Architecture,
        Multiprocessors = Multiprocessors,
        MemoryBytes = MemoryBytes,
        MaxSharedBytesPerBlock = MaxSharedBytesPerBlock,
        ClockHz = ClockHz,
        MemoryBytesPerSecond = MemoryBytesPerSecond,
        TimesAreBounds = true,
    };

    private double Tensor(Precision precision) => TensorRates.FlopsPerClock(Architecture, precision) * ClockHz * Multiprocessors;
}
