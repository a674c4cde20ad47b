using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// Writes a zip archive of stored entries, below 4 GiB, each entry's bytes at a multiple of 64 in the file, as torch.save
/// aligns them so that they can be mapped into memory.
/// </summary>
internal sealed class ZipWriter(Stream stream)
{
    private const int Alignment = 64;

    /// <summary>1 January 1980, the earliest date a zip can name: the same content gives the same file.</summary>
    private const ushort Date = 1 << 5 | 1;

    private readonly BinaryWriter writer = new(stream, Encoding.ASCII, leaveOpen: true);
    private readonly MemoryStream directory = new();
    private long position;
    private ushort entries;

    public void Add(string name, ReadOnlySpan<byte> content)
    {
        byte[] nameBytes = Encoding.ASCII.GetBytes(name);
        uint crc = Crc32.Of(content);
        uint start = (uint)position;
        const int localHeader = 30, fieldHeader = 4;
        long unaligned = position + localHeader + nameBytes.Length + fieldHeader;
        int padding = (int)((Alignment - unaligned % Alignment) % Alignment);

        writer.Write(0x04034b50u);
        WriteCommon(writer, crc, (uint)content.Length, (ushort)nameBytes.Length, (ushort)(fieldHeader + padding));
        writer.Write(nameBytes);
        // PyTorch's own extra field, 'FB', which holds nothing but padding.
        writer.Write("FB"u8);
        writer.Write((ushort)padding);
        writer.Write(new byte[padding]);
        writer.Write(content);
        position = unaligned + padding + content.Length;

        using var entry = new BinaryWriter(directory, Encoding.ASCII, leaveOpen: true);
        entry.Write(0x02014b50u);
        entry.Write((ushort)0);
        WriteCommon(entry, crc, (uint)content.Length, (ushort)nameBytes.Length, 0);
        entry.Write(new byte[10]);
        entry.Write(start);
        entry.Write(nameBytes);
        entries++;
    }

    /// <summary>Writes the directory. Nothing may be added after it.</summary>
    public void Finish()
    {
        writer.Write(directory.ToArray());
        writer.Write(0x06054b50u);
        writer.Write(0);
        writer.Write(entries);
        writer.Write(entries);
        writer.Write((uint)directory.Length);
        writer.Write((uint)position);
        writer.Write((ushort)0);
        writer.Flush();
    }

    /// <summary>The fields that local headers and directory entries share.</summary>
    private static void WriteCommon(BinaryWriter writer, uint crc, uint length, ushort nameLength, ushort extraLength)
    {
        writer.Write((ushort)0);
        writer.Write((ushort)0);
        writer.Write((ushort)0);
        writer.Write((ushort)0);
        writer.Write(Date);
        writer.Write(crc);
        writer.Write(length);
        writer.Write(length);
        writer.Write(nameLength);
        writer.Write(extraLength);
    }
}
