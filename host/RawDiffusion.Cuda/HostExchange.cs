using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda;

/// <summary>
/// Copies values of an executable from and to the host, on a stream, through page-locked memory: a write returns before the copy is
/// done, a read waits.
/// </summary>
/// <param name="driver">What copies.</param>
/// <param name="stream">The executable's stream.</param>
/// <param name="values">Where values lie and how they are stored.</param>
internal sealed unsafe class HostExchange(ICudaDriver driver, nint stream, ValueMemory values) : IDisposable
{
    private const int PartFloats = 1 << 20;

    private readonly Dictionary<Value, nint> staging = [];
    private nint partStaging;

    /// <summary>Writes a whole value.</summary>
    public void Write(Value value, ReadOnlySpan<byte> data)
    {
        if (data.Length == 0) return;
        nint buffer = Staging(value);
        data.CopyTo(new Span<byte>((void*)buffer, data.Length));
        driver.CopyToDevice(values.Memory(value).Address, buffer, data.Length, stream);
    }

    /// <summary>Reads a whole value, in whatever format it is stored.</summary>
    public void Read(Value value, Span<float> destination)
    {
        DeviceRange range = values.Memory(value);
        if (range.Bytes == 0) return;
        nint buffer = Staging(value);
        driver.CopyToHost(buffer, range.Address, range.Bytes, stream);
        driver.Synchronize(stream);
        switch (values.StorageOf(value))
        {
            case Storage.F32: new ReadOnlySpan<float>((void*)buffer, destination.Length).CopyTo(destination); break;
            case Storage.F16: Widen(buffer, destination, h => (float)BitConverter.UInt16BitsToHalf(h)); break;
            case Storage.Bf16: Widen(buffer, destination, b => BitConverter.UInt32BitsToSingle((uint)b << 16)); break;
            case var other: throw GraphException.Unhandled(other);
        }
    }

    /// <summary>Writes a run of a value of float32.</summary>
    public void WritePart(Value value, long first, ReadOnlySpan<float> data)
    {
        for (int done = 0; done < data.Length; done += PartFloats)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(data.Slice(done, Math.Min(PartFloats, data.Length - done)));
            nint buffer = PartStaging();
            bytes.CopyTo(new Span<byte>((void*)buffer, bytes.Length));
            driver.CopyToDevice(values.Memory(value).Slice(4 * (first + done), bytes.Length).Address, buffer, bytes.Length, stream);
        }
    }

    /// <summary>Reads a run of a value of float32.</summary>
    public void ReadPart(Value value, long first, Span<float> destination)
    {
        for (int done = 0; done < destination.Length; done += PartFloats)
        {
            Span<float> part = destination.Slice(done, Math.Min(PartFloats, destination.Length - done));
            nint buffer = PartStaging();
            driver.CopyToHost(buffer, values.Memory(value).Slice(4 * (first + done), 4L * part.Length).Address, 4L * part.Length, stream);
            driver.Synchronize(stream);
            new ReadOnlySpan<float>((void*)buffer, part.Length).CopyTo(part);
        }
    }

    public void Dispose()
    {
        foreach (nint buffer in staging.Values) driver.FreeHost(buffer);
        staging.Clear();
        if (partStaging != 0) driver.FreeHost(partStaging);
        partStaging = 0;
    }

    private static void Widen(nint buffer, Span<float> destination, Func<ushort, float> widen)
    {
        var source = new ReadOnlySpan<ushort>((void*)buffer, destination.Length);
        for (int i = 0; i < source.Length; i++) destination[i] = widen(source[i]);
    }

    // One for each value that is exchanged; whoever writes it waits until the last copy has left it.
    private nint Staging(Value value)
    {
        if (!staging.TryGetValue(value, out nint buffer)) staging.Add(value, buffer = driver.AllocateHost(4 * value.Shape.Count));
        driver.Synchronize(stream);
        return buffer;
    }

    // For values that are too large to be staged whole.
    private nint PartStaging()
    {
        if (partStaging == 0) partStaging = driver.AllocateHost(4L * PartFloats);
        driver.Synchronize(stream);
        return partStaging;
    }
}
