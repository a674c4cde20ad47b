namespace RawDiffusion.Cuda.Launches;

/// <summary>A run of bytes in device memory.</summary>
/// <param name="Address">First byte.</param>
/// <param name="Bytes">Length.</param>
internal readonly record struct DeviceRange(ulong Address, long Bytes)
{
    public ulong End => Address + (ulong)Bytes;

    public bool Overlaps(DeviceRange other) => Bytes > 0 && other.Bytes > 0 && Address < other.End && other.Address < End;

    /// <summary>A part of this range.</summary>
    public DeviceRange Slice(long offset, long bytes) => offset >= 0 && bytes >= 0 && offset + bytes <= Bytes
        ? new(Address + (ulong)offset, bytes)
        : throw new ArgumentOutOfRangeException(nameof(offset), $"{bytes} bytes at {offset} do not lie in a range of {Bytes}");
}
