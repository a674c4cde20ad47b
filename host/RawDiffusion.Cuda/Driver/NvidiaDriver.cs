using System.Globalization;
using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;
using static RawDiffusion.Cuda.Driver.CudaApi;

namespace RawDiffusion.Cuda.Driver;

/// <summary>NVIDIA's driver: one GPU, used through its primary context, which other libraries of the process share.</summary>
public sealed unsafe partial class NvidiaDriver : ICudaDriver
{
    private const int MinimumCapability = 80;
    private const int LogBytes = 8192;

    // The driver library keeps a current context for each thread, and calls may come from any.
    [ThreadStatic]
    private static NvidiaDriver? current;

    private readonly int device;
    private readonly Dictionary<nint, string> names = [];
    private nint context;

    private NvidiaDriver(int device, nint context, CudaDeviceInfo info)
    {
        this.device = device;
        this.context = context;
        Device = info;
        Target = string.Create(CultureInfo.InvariantCulture, $"sm_{info.ComputeCapability}");
    }

    /// <inheritdoc/>
    public CudaDeviceInfo Device { get; }

    /// <inheritdoc/>
    public string Target { get; }

    /// <summary>Opens a GPU.</summary>
    /// <param name="ordinal">Which, counted from 0 among those that CUDA_VISIBLE_DEVICES leaves visible.</param>
    /// <exception cref="CudaException">There is no driver, no such GPU, or the GPU or its driver is too old.</exception>
    public static NvidiaDriver Open(int ordinal = 0)
    {
        int count = CountDevices();
        if (ordinal < 0 || ordinal >= count)
        {
            throw new CudaException($"cuDeviceGet({ordinal})", "INVALID_DEVICE",
                $"expected a GPU from 0 to {count - 1}; nvidia-smi -L lists them, CUDA_VISIBLE_DEVICES may hide some");
        }

        int device;
        Check(cuDeviceGet(&device, ordinal), "cuDeviceGet");
        CudaDeviceInfo info = Describe(device);
        if (info.ComputeCapability < MinimumCapability)
        {
            throw new CudaException($"cuDeviceGetAttribute({info.Name})", "NOT_SUPPORTED",
                $"expected compute capability 8.0 (Ampere) or newer, found {info.ComputeCapability / 10}.{info.ComputeCapability % 10}; "
                + "use the cpu device");
        }

        nint context;
        Check(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
        return new(device, context, info);
    }

    /// <summary>GPUs of this machine, in the order of their ordinals, without opening any.</summary>
    /// <exception cref="CudaException">There is no driver, no GPU, or the driver is too old.</exception>
    public static IReadOnlyList<CudaDeviceInfo> Devices()
    {
        var devices = new CudaDeviceInfo[CountDevices()];
        for (int i = 0; i < devices.Length; i++)
        {
            int device;
            Check(cuDeviceGet(&device, i), "cuDeviceGet");
            devices[i] = Describe(device);
        }
        return devices;
    }

    /// <summary>The newest CUDA that the driver supports: <c>12.4</c>; null where there is no driver.</summary>
    public static string? SupportedCuda()
    {
        int version;
        if (!NativeLibraryFile.Driver.IsFound || cuDriverGetVersion(&version) != 0) return null;
        return VersionText(version);
    }

    /// <summary>Which GPU of all machines it is: 16 bytes.</summary>
    internal byte[] Uuid()
    {
        byte[] uuid = new byte[16];
        fixed (byte* bytes = uuid) Check(cuDeviceGetUuid(bytes, device), "cuDeviceGetUuid");
        return uuid;
    }

    /// <inheritdoc/>
    public ulong Allocate(long bytes)
    {
        MakeCurrent();
        ulong address;
        int result = cuMemAlloc_v2(&address, (nuint)bytes);
        if (result != 0)
        {
            throw Error(result, "cuMemAlloc", $"{bytes} bytes on {Device.Name}, which has "
                + $"{Device.MemoryBytes}{(result == OutOfMemory ? "; use a smaller batch or close what else uses the GPU" : "")}");
        }
        return address;
    }

    /// <inheritdoc/>
    public void Free(ulong address)
    {
        MakeCurrent();
        Check(cuMemFree_v2(address), "cuMemFree");
    }

    /// <inheritdoc/>
    public nint AllocateHost(long bytes)
    {
        MakeCurrent();
        nint address;
        int result = cuMemHostAlloc(&address, (nuint)bytes, 0);
        if (result != 0) throw Error(result, "cuMemHostAlloc", $"{bytes} bytes of page-locked memory");
        return address;
    }

    /// <inheritdoc/>
    public void FreeHost(nint address)
    {
        MakeCurrent();
        Check(cuMemFreeHost(address), "cuMemFreeHost");
    }

    /// <inheritdoc/>
    public void CopyToDevice(ulong destination, nint source, long bytes, nint stream)
    {
        MakeCurrent();
        CheckCopy(cuMemcpyHtoDAsync_v2(destination, source, (nuint)bytes, stream), "cuMemcpyHtoDAsync", destination, (ulong)source, bytes);
    }

    /// <inheritdoc/>
    public void CopyToHost(nint destination, ulong source, long bytes, nint stream)
    {
        MakeCurrent();
        CheckCopy(cuMemcpyDtoHAsync_v2(destination, source, (nuint)bytes, stream), "cuMemcpyDtoHAsync", (ulong)destination, source, bytes);
    }

    /// <inheritdoc/>
    public void CopyOnDevice(ulong destination, ulong source, long bytes, nint stream)
    {
        MakeCurrent();
        CheckCopy(cuMemcpyDtoDAsync_v2(destination, source, (nuint)bytes, stream), "cuMemcpyDtoDAsync", destination, source, bytes);
    }

    /// <inheritdoc/>
    public void Fill(ulong destination, byte value, long bytes, nint stream)
    {
        MakeCurrent();
        int result = cuMemsetD8Async(destination, value, (nuint)bytes, stream);
        if (result != 0) throw Error(result, "cuMemsetD8Async", $"{bytes} bytes at 0x{destination:x}");
    }

    /// <inheritdoc/>
    public nint CreateStream()
    {
        MakeCurrent();
        nint stream;
        Check(cuStreamCreate(&stream, StreamNonBlocking), "cuStreamCreate");
        return stream;
    }

    /// <inheritdoc/>
    public void DestroyStream(nint stream)
    {
        MakeCurrent();
        Check(cuStreamDestroy_v2(stream), "cuStreamDestroy");
    }

    /// <inheritdoc/>
    public void Synchronize(nint stream)
    {
        MakeCurrent();
        int result = cuStreamSynchronize(stream);
        if (result != 0)
        {
            throw Error(result, "cuStreamSynchronize",
                "work that was queued before has failed; the emulated device names kernel, line and address");
        }
    }

    /// <inheritdoc/>
    public void WaitEvent(nint stream, nint happened)
    {
        MakeCurrent();
        Check(cuStreamWaitEvent(stream, happened, 0), "cuStreamWaitEvent");
    }

    /// <inheritdoc/>
    public nint CreateEvent()
    {
        MakeCurrent();
        nint happened;
        Check(cuEventCreate(&happened, 0), "cuEventCreate");
        return happened;
    }

    /// <inheritdoc/>
    public void DestroyEvent(nint happened)
    {
        MakeCurrent();
        Check(cuEventDestroy_v2(happened), "cuEventDestroy");
    }

    /// <inheritdoc/>
    public void RecordEvent(nint happened, nint stream)
    {
        MakeCurrent();
        Check(cuEventRecord(happened, stream), "cuEventRecord");
    }

    /// <inheritdoc/>
    public double Elapsed(nint start, nint end)
    {
        MakeCurrent();
        float milliseconds;
        Check(cuEventElapsedTime(&milliseconds, start, end), "cuEventElapsedTime");
        return milliseconds * 1e-3;
    }

    /// <summary>Gives the context back; when nobody else in the process uses it, all its memory is freed.</summary>
    public void Dispose()
    {
        if (context == 0) return;
        context = 0;
        Check(cuDevicePrimaryCtxRelease_v2(device), "cuDevicePrimaryCtxRelease");
    }

    private static int CountDevices()
    {
        if (!NativeLibraryFile.Driver.IsFound)
            throw new CudaException("cuInit", "NO_DRIVER", $"{NativeLibraryFile.Driver.Missing}, or use the cpu or the emulated device");
        int result = cuInit(0);
        if (result == NoDevice)
        {
            throw Error(result, "cuInit", "no GPU is visible: see whether nvidia-smi lists one and CUDA_VISIBLE_DEVICES does not hide it, "
                + "or use the cpu or the emulated device");
        }
        if (result != 0)
        {
            throw Error(result, "cuInit",
                "the driver does not start: see whether nvidia-smi works; after an update of the driver the machine must be restarted");
        }
        int version;
        Check(cuDriverGetVersion(&version), "cuDriverGetVersion");
        if (version < MinimumDriverVersion)
        {
            throw new CudaException("cuDriverGetVersion", "NOT_SUPPORTED", "expected a driver for CUDA "
                + $"{VersionText(MinimumDriverVersion)} or newer, found one for CUDA {VersionText(version)}; update NVIDIA's driver");
        }

        int count;
        Check(cuDeviceGetCount(&count), "cuDeviceGetCount");
        return count;
    }

    private static CudaDeviceInfo Describe(int device)
    {
        byte[] name = new byte[256];
        Check(cuDeviceGetName(name, name.Length, device), "cuDeviceGetName");
        nuint bytes;
        Check(cuDeviceTotalMem_v2(&bytes, device), "cuDeviceTotalMem");
        return new()
        {
            Name = Text(name),
            ComputeCapability = Attribute(device, AttributeCapabilityMajor) * 10 + Attribute(device, AttributeCapabilityMinor),
            Multiprocessors = Attribute(device, AttributeMultiprocessorCount),
            MemoryBytes = (long)bytes,
            MaxSharedBytesPerBlock = Attribute(device, AttributeMaxSharedBytesPerBlockOptIn),
            ClockHz = Attribute(device, AttributeClockRateKiloHertz) * 1e3,
            // Memory transfers on both edges of its clock.
            MemoryBytesPerSecond = 2.0 * Attribute(device, AttributeMemoryClockRateKiloHertz) * 1e3 * Attribute(
                device, AttributeMemoryBusBits) / 8,
        };
    }

    private static int Attribute(int device, int attribute)
    {
        int value;
        Check(cuDeviceGetAttribute(&value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }

    private static string VersionText(int version) =>
        string.Create(CultureInfo.InvariantCulture, $"{version / 1000}.{version % 1000 / 10}");

    private static void CheckCopy(int result, string call, ulong destination, ulong source, long bytes)
    {
        if (result != 0) throw Error(result, call, $"{bytes} bytes from 0x{source:x} to 0x{destination:x}");
    }

    private static void Check(int result, string call)
    {
        if (result != 0) throw Error(result, call);
    }

    private static CudaException Error(int result, string call, string details = "")
    {
        byte* name;
        string text = cuGetErrorName(result, &name) == 0 ? Marshal.PtrToStringUTF8((nint)name)! : $"error {result}";
        const string prefix = "CUDA_ERROR_";
        return new(call, text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text, details);
    }

    /// <summary>Makes this GPU the one that the driver library's calls from this thread mean.</summary>
    /// <exception cref="ObjectDisposedException">The driver was given back.</exception>
    internal void MakeCurrent()
    {
        ObjectDisposedException.ThrowIf(context == 0, this);
        if (current == this) return;
        Check(cuCtxSetCurrent(context), "cuCtxSetCurrent");
        current = this;
    }

    private string NameOf(nint function) => names.GetValueOrDefault(function, "unknown function");
}
