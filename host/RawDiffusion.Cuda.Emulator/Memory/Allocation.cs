using System.Runtime.InteropServices;

namespace RawDiffusion.Cuda.Emulator.Memory;

/// <summary>
/// One piece of device memory: its bytes, for every byte whether something was written there, and, while launches are
/// checked for races, which block touched it.
/// </summary>
internal sealed unsafe class Allocation : IDisposable
{
    private ulong* writers;
    private ulong* readers;

    public Allocation(ulong address, long bytes, string owner)
    {
        Address = address;
        Bytes = bytes;
        Owner = owner;
        Data = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1) + 64, 64);
        Defined = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1) + 64, 64);

        // Not zero: a kernel that uses what nothing wrote must not come out right by luck.
        NativeMemory.Fill(Data, (nuint)bytes, 0xFF);
        NativeMemory.Clear(Defined, (nuint)bytes);
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
            if (tags == null)
            {
                tags = (ulong*)NativeMemory.AllocZeroed((nuint)(Bytes / 8 + 9), 8);
            }

            return tags;
        }
    }

    private void Release()
    {
        if (Data != null)
        {
            NativeMemory.AlignedFree(Data);
            NativeMemory.AlignedFree(Defined);
            NativeMemory.Free(writers);
            NativeMemory.Free(readers);
            Data = Defined = null;
            writers = readers = null;
        }
    }
}
