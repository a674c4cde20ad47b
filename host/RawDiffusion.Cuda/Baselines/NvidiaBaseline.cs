using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Baselines;

/// <summary>What NVIDIA's libraries take for the products of a launch.</summary>
/// <param name="Calls">The calls and their shapes.</param>
/// <param name="Seconds">Sum of their median times; null where cuDNN has no algorithm for one of them.</param>
public sealed record NvidiaTime(string Calls, double? Seconds);

/// <summary>
/// Times NVIDIA's libraries on the shapes of a compiled graph: cuDNN's convolutions, cuBLAS's products for 1x1 convolutions
/// and linear layers. Each call runs alone, again and again on the same memory, which favours small shapes: they stay in the
/// cache. What our kernels fuse into a convolution (norm, activation, bias, embedding, residual) is not part of theirs.
/// </summary>
public static class NvidiaBaseline
{
    /// <summary>What is missing for a comparison, and what to do; null where both libraries are there.</summary>
    public static string? Missing =>
        !NativeLibraryFile.CuDnn.IsFound ? NativeLibraryFile.CuDnn.Missing
        : !NativeLibraryFile.CuBlas.IsFound ? NativeLibraryFile.CuBlas.Missing : null;

    /// <summary>Times the libraries.</summary>
    /// <param name="device">A GPU.</param>
    /// <param name="executable">What the device compiled.</param>
    /// <param name="repeat">Measured calls of each shape, at least 1; the first of all is not measured.</param>
    /// <param name="cancellation">Stops between two shapes.</param>
    /// <returns>An entry for each of <see cref="IExecutable.Profile"/>'s, null where the libraries have nothing like it.</returns>
    /// <exception cref="CudaException">A library was not found, or refused a call.</exception>
    /// <exception cref="ArgumentException">The device is no GPU, or the executable another device's.</exception>
    public static IReadOnlyList<NvidiaTime?> Measure(
        CudaDevice device, IExecutable executable, int repeat, CancellationToken cancellation = default)
    {
        if (device.Driver is not NvidiaDriver driver)
            throw new ArgumentException($"NVIDIA's libraries run on a GPU, found {device.Description}", nameof(device));
        if (executable is not CudaExecutable compiled)
            throw new ArgumentException("expected an executable that a CUDA device compiled", nameof(executable));
        using var blas = new CuBlas(driver);
        nint stream = driver.CreateStream();
        try
        {
            var seconds = new Dictionary<NvidiaCall, double?>();
            foreach (NvidiaCall call in compiled.NvidiaCalls.SelectMany(c => c).Distinct())
            {
                cancellation.ThrowIfCancellationRequested();
                seconds.Add(call, Seconds(driver, blas, call, repeat, stream));
            }
            return [.. compiled.NvidiaCalls.Select(calls => calls.Count == 0 ? null
                : new NvidiaTime(string.Join(" + ", calls), calls.Aggregate((double?)0, (sum, call) => sum + seconds[call])))];
        }
        finally
        {
            driver.DestroyStream(stream);
        }
    }

    private static double? Seconds(NvidiaDriver driver, CuBlas blas, NvidiaCall call, int repeat, nint stream)
    {
        using var memory = new DeviceMemory(driver);
        int bytes = call.Precision is Precision.Bf16 or Precision.Fp16 ? 2 : 4;
        (long x, long w, long y) = call.Elements;
        DeviceRange from = memory.Upload(Operand(x, bytes)), weights = memory.Upload(Operand(w, bytes)), to = memory.Allocate(y * bytes);
        try
        {
            return call.Measure(driver, blas, from.Address, weights.Address, to.Address, stream,
                run => Median(driver, run, repeat, stream));
        }
        catch (CudaException e) when (e.Result == "NOT_SUPPORTED")
        {
            return null;
        }
    }

    // All calls are queued before the first is waited for: the host's time between them then counts only where it is longer.
    private static double Median(NvidiaDriver driver, Action run, int repeat, nint stream)
    {
        nint[] marks = new nint[repeat + 1];
        try
        {
            for (int i = 0; i < marks.Length; i++) marks[i] = driver.CreateEvent();
            foreach (nint mark in marks)
            {
                run();
                driver.RecordEvent(mark, stream);
            }
            driver.Synchronize(stream);
            return Enumerable.Range(0, repeat).Select(i => driver.Elapsed(marks[i], marks[i + 1])).Order().ElementAt(repeat / 2);
        }
        finally
        {
            foreach (nint mark in marks)
                if (mark != 0) driver.DestroyEvent(mark);
        }
    }

    // Small numbers of many bits: a GPU's clock, and so its time, depends on the bits that change. The exponent's byte is fixed.
    private static byte[] Operand(long elements, int elementBytes)
    {
        byte[] data = new byte[elements * elementBytes];
        new Random(1).NextBytes(data);
        for (long i = elementBytes - 1; i < data.LongLength; i += elementBytes) data[i] = 0x3c;
        return data;
    }
}
