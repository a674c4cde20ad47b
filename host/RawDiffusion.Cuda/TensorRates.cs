using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda;

/// <summary>
/// Peak arithmetic of a multiprocessor, dense, with float32 sums, from NVIDIA's architecture papers (Ampere GA100 and
/// GA102, Ada, Hopper): published TFLOP/s divided by multiprocessors and boost clock.
/// </summary>
public static class TensorRates
{
    /// <summary>Peak rates of a device for products in a precision.</summary>
    public static PeakRates Of(CudaDeviceInfo device, Precision precision) =>
        new(FlopsPerClock(device.ComputeCapability, precision) * device.ClockHz * device.Multiprocessors, device.MemoryBytesPerSecond);

    /// <summary>Floating-point operations of a multiprocessor in a clock; a fused multiply-add counts two.</summary>
    /// <param name="computeCapability">8.0 as 80.</param>
    /// <param name="precision">Operands of products.</param>
    public static int FlopsPerClock(int computeCapability, Precision precision)
    {
        (int exact, int tf32, int half) = computeCapability switch
        {
            80 => (128, 1024, 2048),
            < 90 => (256, 256, 512),
            _ => (256, 2048, 4096),
        };
        return precision switch
        {
            Precision.Fp32 => exact,
            Precision.Tf32 => tf32,
            Precision.Bf16 or Precision.Fp16 => half,
            _ => throw GraphException.Unhandled(precision),
        };
    }
}
