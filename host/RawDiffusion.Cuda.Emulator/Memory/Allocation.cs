using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Emulator.Memory;

/// <summary>
/// One piece of device memory: its bytes, for every byte whether something was written there, and, while launches are
/// checked for races, which block touched it. A large one takes memory of the host only where it is touched.
/// </summary>
internal sealed unsafe class Allocation : IDisposable
{
    // Beyond, the host's pages come as they are touched: a launch past 2^31 elements need not be held.
    private const long SparseBytes = 1L << 26;
    private ulong* writers;
    private ulong* readers;
    private long[] fenceStarts = [];
    private long[] fenceEnds = [];

    public Allocation(ulong address, long bytes, string owner)
    {
        Address = address;
        Bytes = bytes;
        Owner = owner;
        Defined = (byte*)NativeMemory.AllocZeroed((nuint)bytes + 64);
        Data = bytes >= SparseBytes ? (byte*)NativeMemory.AllocZeroed((nuint)bytes + 64) : (byte*)NativeMemory.Alloc((nuint)bytes + 64);

        // Not zero: a kernel that uses what nothing wrote must not come out right by luck.
        if (bytes < SparseBytes) NativeMemory.Fill(Data, (nuint)bytes, 0xFF);
    }

    ~Allocation() => Release();

    public ulong Address { get; }

    public long Bytes { get; }

    /// <summary>Who allocated: empty for the caller of the driver, else a module's variable.</summary>
    public string Owner { get; }

    public byte* Data { get; private set; }

    /// <summary>One byte per byte of <see cref="Data"/>: 0 where nothing was written, else 0xFF.</summary>
    public byte* Defined { get; private set; }

    public bool Freed => Data == null;

    /// <summary>Per 8 bytes the last block that wrote and which bytes (see BlockRaces); zero where none did.</summary>
    public ulong* Writers => writers != null ? writers : MakeTags(ref writers);

    /// <summary>Per 8 bytes the last block that read.</summary>
    public ulong* Readers => readers != null ? readers : MakeTags(ref readers);

    /// <summary>Forbids launches to touch bytes, which lie behind those fenced before.</summary>
    public void Fence(long offset, long bytes)
    {
        fenceStarts = [.. fenceStarts, offset];
        fenceEnds = [.. fenceEnds, offset + bytes];
    }

    /// <summary>Whether any of the bytes are fenced.</summary>
    public bool IsFenced(long offset, long bytes)
    {
        if (fenceStarts.Length == 0) return false;

        // The last fence that begins before the end of the access.
        int next = Array.BinarySearch(fenceStarts, offset + bytes);
        int last = (next < 0 ? ~next : next) - 1;
        return last >= 0 && fenceEnds[last] > offset;
    }

    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private ulong* MakeTags(ref ulong* tags)
    {
        // Blocks run in parallel: one of them makes the array.
        lock (this)
        {
            if (tags == null) tags = (ulong*)NativeMemory.AllocZeroed((nuint)(Bytes / 8 + 9), 8);

            return tags;
        }
    }

    private void Release()
    {
        if (Data != null)
        {
            NativeMemory.Free(Data);
            NativeMemory.Free(Defined);
            NativeMemory.Free(writers);
            NativeMemory.Free(readers);
            Data = Defined = null;
            writers = readers = null;
        }
    }
}
