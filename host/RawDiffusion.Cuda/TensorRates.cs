using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda;

/// <summary>
/// Peak arithmetic of a multiprocessor, dense, with float32 sums, from NVIDIA's architecture papers (Ampere GA100 and
/// GA102, Ada, Hopper): published TFLOP/s divided by multiprocessors and boost clock.
/// </summary>
internal static class TensorRates
{
    /// <summary>Peak rates of a device for products in a precision.</summary>
    public static PeakRates Of(CudaDeviceInfo device, Precision precision)
    {
        (int exact, int tf32, int half) = device.ComputeCapability switch
        {
            80 => (128, 1024, 2048),
            < 90 => (256, 256, 512),
            _ => (256, 2048, 4096),
        };
        int flops = precision switch
        {
            Precision.Fp32 => exact,
            Precision.Tf32 => tf32,
            _ => half,
        };
        return new PeakRates(flops * device.ClockHz * device.Multiprocessors, device.MemoryBytesPerSecond);
    }
}
