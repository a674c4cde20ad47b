using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// The central directory of a zip archive, with ZIP64. torch.save stores entries uncompressed, so that a tensor is read straight from its
/// place in the file; deflated ones, of archives that were packed again, are inflated as a whole. Entries cannot overlap, and the deflated
/// ones take at most <see cref="MaxRatio"/> times the file and <see cref="FreeBytes"/> together.
/// Checksums of stored entries are not compared: PyTorch can be told to write none (torch.serialization.set_crc32_options).
/// </summary>
/// <remarks>Specification: PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3.</remarks>
internal sealed class ZipDirectory
{
    /// <summary>Above that of any weights, also with many zeros among them.</summary>
    public const int MaxRatio = 16;

    public const int FreeBytes = 64 << 20;

    private const uint EndSignature = 0x06054b50, End64Signature = 0x06064b50, Locator64Signature = 0x07064b50;
    private const uint EntrySignature = 0x02014b50, LocalSignature = 0x04034b50;
    private const int DeflateMethod = 8;
    private const int EndBytes = 22, Locator64Bytes = 20, End64Bytes = 56, EntryBytes = 46, LocalBytes = 30;

    private readonly FileContent file;
    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);

    /// <summary>Reads the directory at the end of the file.</summary>
    /// <exception cref="FileFormatException">It is malformed or does not fit the file.</exception>
    public ZipDirectory(FileContent file)
    {
        this.file = file;
        (long position, long length, long count) = FindDirectory();
        byte[] directory = file.ReadBytes(position, length, "the zip directory");
        if (count > length / EntryBytes)
            throw file.Error($"a zip directory of {length} bytes cannot hold {count} entries; the file is damaged");
        int next = 0;
        for (long i = 0; i < count; i++) next = ReadEntry(directory, next);
        if (entries.FirstOrDefault(e => e.Value.StoredLength > file.Length) is { Key: { } name, Value.StoredLength: var claimed })
            throw file.Error($"the zip entry '{name}' claims {claimed} bytes, but the file has {file.Length}; it is truncated or damaged");
        Int128 stored = entries.Values.Aggregate((Int128)0, (sum, e) => sum + e.StoredLength);
        if (stored > file.Length)
        {
            throw file.Error($"the zip archive claims {stored} bytes in its entries, but the file has {file.Length}; it is truncated "
                + "or damaged");
        }

        Int128 inflated = entries.Values.Where(e => e.Method != 0).Aggregate((Int128)0, (sum, e) => sum + e.Length);
        if (inflated > FreeBytes + (Int128)MaxRatio * file.Length)
            throw file.Error($"the zip entries inflate to {inflated} bytes, more than {MaxRatio} times the file; such files are refused");
    }

    /// <summary>Names of all entries.</summary>
    public IReadOnlyCollection<string> Names => entries.Keys;

    /// <summary>Where an entry's bytes are in the file.</summary>
    /// <exception cref="FileFormatException">There is no such entry, or it reaches past the file's end.</exception>
    public ZipEntry Locate(string name)
    {
        if (!entries.TryGetValue(name, out Entry? entry))
            throw file.Error($"the zip archive should have an entry '{name}', but has none; the file is damaged");
        if (entry.Encrypted) throw file.Error($"the zip entry '{name}' is encrypted");
        if (entry.Method is not (0 or DeflateMethod))
        {
            throw file.Error($"the zip entry '{name}' is compressed by method {entry.Method}, but stored and deflated entries are read; "
                + "repack the archive with 'zip -0'");
        }

        if (entry.Method == 0 && entry.StoredLength != entry.Length)
            throw file.Error($"the stored zip entry '{name}' has two lengths, {entry.StoredLength} and {entry.Length}");

        byte[] local = file.ReadBytes(entry.LocalHeader, LocalBytes, $"the zip entry '{name}'");
        if (BinaryPrimitives.ReadUInt32LittleEndian(local) != LocalSignature)
            throw file.Error($"the zip entry '{name}' has no local header where the directory says");
        int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(local.AsSpan(26));
        int extraLength = BinaryPrimitives.ReadUInt16LittleEndian(local.AsSpan(28));
        long position = entry.LocalHeader + LocalBytes + nameLength + extraLength;
        if (position > file.Length || entry.StoredLength > file.Length - position)
        {
            throw file.Error($"the zip entry '{name}' claims {entry.StoredLength} bytes from byte {position}, but the file has "
                + $"{file.Length}; it is truncated or damaged");
        }

        return new ZipEntry(position, entry.StoredLength, entry.Length, entry.Method == DeflateMethod, entry.Checksum);
    }

    /// <summary>All bytes of a deflated entry.</summary>
    /// <exception cref="FileFormatException">It is damaged.</exception>
    public byte[] Inflate(string name)
    {
        ZipEntry entry = Locate(name);
        byte[] stored = file.ReadBytes(entry.Position, entry.StoredLength, $"the zip entry '{name}'");
        if (entry.Length > Array.MaxLength)
            throw file.Error($"the zip entry '{name}' inflates to {entry.Length} bytes; at most 2 GiB are read");
        byte[] bytes = new byte[entry.Length];
        try
        {
            using var inflater = new DeflateStream(new MemoryStream(stored), CompressionMode.Decompress);
            if (inflater.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) == bytes.Length && inflater.ReadByte() < 0)
            {
                if (Crc32.Of(bytes) == entry.Checksum) return bytes;
                throw file.Error($"the checksum of the deflated zip entry '{name}' is wrong; the file is damaged, fetch it again");
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException)
        {
            throw file.Error($"the deflated zip entry '{name}' is damaged: {e.Message}", e);
        }
        throw file.Error($"the deflated zip entry '{name}' does not hold {entry.Length} bytes; the file is damaged");
    }

    /// <summary>All bytes of a small entry.</summary>
    public byte[] Read(string name, int longest)
    {
        ZipEntry entry = Locate(name);
        if (entry.Length > longest) throw file.Error($"the zip entry '{name}' has {entry.Length} bytes, at most {longest} were expected");
        return entry.Deflated ? Inflate(name) : file.ReadBytes(entry.Position, entry.Length, $"the zip entry '{name}'");
    }

    private (long Position, long Length, long Count) FindDirectory()
    {
        // The end record is followed by a comment of at most 64 KiB and nothing else.
        int tailLength = (int)Math.Min(file.Length, EndBytes + ushort.MaxValue);
        long tailStart = file.Length - tailLength;
        byte[] tail = file.ReadBytes(tailStart, tailLength, "the end of the zip archive");
        for (int i = tailLength - EndBytes; i >= 0; i--)
        {
            ReadOnlySpan<byte> end = tail.AsSpan(i);
            if (BinaryPrimitives.ReadUInt32LittleEndian(end) != EndSignature) continue;
            if (BinaryPrimitives.ReadUInt16LittleEndian(end[20..]) != end.Length - EndBytes) continue;

            long count = BinaryPrimitives.ReadUInt16LittleEndian(end[10..]);
            long length = BinaryPrimitives.ReadUInt32LittleEndian(end[12..]);
            long position = BinaryPrimitives.ReadUInt32LittleEndian(end[16..]);
            bool zip64 = count == ushort.MaxValue || length == uint.MaxValue || position == uint.MaxValue;
            return zip64 ? FindDirectory64(tailStart + i) : (position, length, count);
        }
        throw file.Error("the file starts as a zip archive, but its directory at the end is missing; it is truncated, fetch it again");
    }

    private (long Position, long Length, long Count) FindDirectory64(long endPosition)
    {
        byte[] locator = file.ReadBytes(endPosition - Locator64Bytes, Locator64Bytes, "the ZIP64 locator");
        if (BinaryPrimitives.ReadUInt32LittleEndian(locator) != Locator64Signature)
            throw file.Error("the ZIP64 locator is missing; the file is damaged");
        byte[] end = file.ReadBytes(BinaryPrimitives.ReadInt64LittleEndian(locator.AsSpan(8)), End64Bytes, "the ZIP64 end record");
        if (BinaryPrimitives.ReadUInt32LittleEndian(end) != End64Signature)
            throw file.Error("the ZIP64 end record is missing; the file is damaged");
        return (
            BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(48)),
            BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(40)),
            BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(32)));
    }

    private int ReadEntry(byte[] directory, int start)
    {
        ReadOnlySpan<byte> record = directory.AsSpan(start);
        if (record.Length < EntryBytes || BinaryPrimitives.ReadUInt32LittleEndian(record) != EntrySignature)
            throw file.Error("the zip directory is damaged; fetch the file again");
        int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(record[28..]);
        int extraLength = BinaryPrimitives.ReadUInt16LittleEndian(record[30..]);
        int commentLength = BinaryPrimitives.ReadUInt16LittleEndian(record[32..]);
        int recordLength = EntryBytes + nameLength + extraLength + commentLength;
        if (recordLength > record.Length) throw file.Error("the zip directory is damaged; fetch the file again");

        string name = Encoding.UTF8.GetString(record.Slice(EntryBytes, nameLength));
        bool encrypted = (BinaryPrimitives.ReadUInt16LittleEndian(record[8..]) & 1) != 0;
        int method = BinaryPrimitives.ReadUInt16LittleEndian(record[10..]);
        uint checksum = BinaryPrimitives.ReadUInt32LittleEndian(record[16..]);
        long stored = BinaryPrimitives.ReadUInt32LittleEndian(record[20..]);
        long length = BinaryPrimitives.ReadUInt32LittleEndian(record[24..]);
        long local = BinaryPrimitives.ReadUInt32LittleEndian(record[42..]);
        ReadOnlySpan<byte> wide = FindZip64(record.Slice(EntryBytes + nameLength, extraLength));
        length = Widen(name, length, ref wide);
        stored = Widen(name, stored, ref wide);
        local = Widen(name, local, ref wide);
        if (!entries.TryAdd(name, new Entry(method, encrypted, checksum, stored, length, local)))
            throw file.Error($"the zip entry '{name}' occurs twice");
        return start + recordLength;
    }

    /// <summary>The content of the ZIP64 extra field, empty where there is none.</summary>
    private static ReadOnlySpan<byte> FindZip64(ReadOnlySpan<byte> extra)
    {
        while (extra.Length >= 4)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(extra[2..]);
            if (length > extra.Length - 4) break;
            if (BinaryPrimitives.ReadUInt16LittleEndian(extra) == 1) return extra.Slice(4, length);
            extra = extra[(4 + length)..];
        }
        return [];
    }

    /// <summary>A 32-bit field of all ones stands for the next 64-bit value of the ZIP64 field.</summary>
    private long Widen(string name, long value, ref ReadOnlySpan<byte> wide)
    {
        if (value != uint.MaxValue) return value;
        if (wide.Length < 8) throw file.Error($"the ZIP64 sizes of the zip entry '{name}' are missing");
        long widened = BinaryPrimitives.ReadInt64LittleEndian(wide);
        wide = wide[8..];
        if (widened < 0) throw file.Error($"the ZIP64 sizes of the zip entry '{name}' are damaged");
        return widened;
    }

    private sealed record Entry(int Method, bool Encrypted, uint Checksum, long StoredLength, long Length, long LocalHeader);
}

/// <summary>Where an entry of a zip archive is in the file.</summary>
/// <param name="Position">Its first byte.</param>
/// <param name="StoredLength">Bytes that it takes there.</param>
/// <param name="Length">Bytes that it holds.</param>
/// <param name="Deflated">Whether they are compressed.</param>
/// <param name="Checksum">CRC-32 of the bytes that it holds, as the archive has it.</param>
internal readonly record struct ZipEntry(long Position, long StoredLength, long Length, bool Deflated, uint Checksum);
