namespace RawDiffusion.Cuda.Emulator.Memory;

/// <summary>
/// The address space of the emulated device. Every allocation starts in a page of its own with at least one empty page
/// after it, so that an address which leaves its allocation meets nothing. Addresses are multiples of 256 and of no
/// larger power of two, which is all that a driver promises.
/// </summary>
internal sealed class EmulatedMemory
{
    /// <summary>Generic addresses of shared memory: this plus the offset in the block's shared memory.</summary>
    public const ulong SharedWindow = 0x7D00_0000_0000;

    /// <summary>Generic addresses of local memory: this plus the offset in the thread's local memory.</summary>
    public const ulong LocalWindow = 0x7E00_0000_0000;

    /// <summary>Generic addresses of kernel parameters: this plus the offset in the parameters.</summary>
    public const ulong ParameterWindow = 0x7F00_0000_0000;

    /// <summary>Size of each window.</summary>
    public const ulong WindowBytes = 0x0100_0000_0000;

    private const ulong FirstPage = 0x7000_0000_0000;
    private const int PageBits = 20;
    private Allocation?[] pages = new Allocation?[1024];
    private int used;

    public ulong Allocate(long bytes, string owner = "")
    {
        int count = (int)((bytes + 0x300) >> PageBits) + 2;
        while (used + count > pages.Length) Array.Resize(ref pages, pages.Length * 2);

        var allocation = new Allocation(FirstPage + ((ulong)used << PageBits) + 0x300, bytes, owner);
        Array.Fill(pages, allocation, used, count);
        used += count;
        return allocation.Address;
    }

    /// <summary>The allocation whose pages hold the address, freed or not; the address may lie beside it.</summary>
    public Allocation? Near(ulong address)
    {
        ulong page = (address - FirstPage) >> PageBits;
        return page < (ulong)used ? pages[page] : null;
    }

    /// <summary>The live allocation that holds all the bytes, or null.</summary>
    public Allocation? Find(ulong address, long bytes)
    {
        Allocation? near = Near(address);
        return near is { Freed: false } && address >= near.Address && address - near.Address + (ulong)bytes <= (ulong)near.Bytes
            ? near : null;
    }

    /// <summary>As <see cref="Find"/>, of memory that launches may touch: none of the bytes is fenced.</summary>
    public Allocation? FindOpen(ulong address, long bytes) =>
        Find(address, bytes) is { } found && !found.IsFenced((long)(address - found.Address), bytes) ? found : null;

    /// <summary>Says where an address lies, for people.</summary>
    public string Describe(ulong address, long bytes)
    {
        Allocation? near = Near(address);
        if (near is null) return address < 0x10000 ? "near the null pointer" : "not in any allocation";

        string what = near.Owner.Length == 0 ? $"a {near.Bytes}-byte allocation at 0x{near.Address:x}"
            : $"{near.Owner} ({near.Bytes} bytes at 0x{near.Address:x})";
        if (near.Freed) return $"in {what} that was freed";

        if (address < near.Address) return $"{near.Address - address} bytes before {what}";

        ulong offset = address - near.Address;
        return offset + (ulong)bytes <= (ulong)near.Bytes
            ? $"{(near.IsFenced((long)offset, bytes) ? "in padding between pieces, " : "")}at byte {offset} of {what}"
            : offset < (ulong)near.Bytes ? $"across the end of {what}" : $"{offset - (ulong)near.Bytes} bytes past the end of {what}";
    }

    public void Dispose()
    {
        foreach (Allocation? allocation in pages) allocation?.Dispose();
    }
}
