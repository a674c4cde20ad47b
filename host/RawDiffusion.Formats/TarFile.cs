using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats;

/// <summary>A file in a tar file.</summary>
/// <param name="Name">Its path in the archive.</param>
/// <param name="Position">Where its content begins.</param>
/// <param name="Length">Bytes of its content.</param>
public sealed record TarEntry(string Name, long Position, long Length);

/// <summary>
/// The regular files in a tar file: ustar, with the long names of pax and GNU; also of tar files that were joined by <c>cat</c>. Folders
/// and devices are passed over, links too but for their names. Only headers are read when it is opened; one with gzip is unpacked
/// first, into a file that nobody else sees. Thread-safe.
/// </summary>
/// <remarks>Source: POSIX.1-2001, pax; "Basic Tar Format" of the GNU tar manual.</remarks>
public sealed class TarFile : IDisposable
{
    private const int Block = 512;

    /// <summary>The longest name, and the longest extended header, in bytes; tar writers give a few hundred.</summary>
    private const int MaxName = 1 << 16;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: false);

    private readonly FileContent file;
    private readonly List<string> links = [];

    private TarFile(FileContent file)
    {
        this.file = file;
        Entries = ReadEntries();
    }

    /// <summary>The regular files, in the archive's order.</summary>
    public IReadOnlyList<TarEntry> Entries { get; }

    /// <summary>Names of the symbolic and hard links, in the archive's order.</summary>
    public IReadOnlyList<string> Links => links;

    /// <summary>Opens a tar file and reads its headers.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="unpackFolder">Where one with gzip is unpacked; null for the system's temporary folder.</param>
    /// <param name="mostUnpacked">Bytes that it may take there; null for half of what is free.</param>
    /// <exception cref="FileFormatException">It is no tar file, is truncated or damaged, or takes too much.</exception>
    /// <exception cref="IOException">It cannot be read, or the folder cannot be written to.</exception>
    public static TarFile Open(string path, string? unpackFolder = null, long? mostUnpacked = null)
    {
        var file = new FileContent(path);
        try
        {
            if (!GzipFile.Matches(file)) return new TarFile(file);
            FileContent packed = file;
            file = GzipFile.Unpack(packed, unpackFolder ?? Path.GetTempPath(), mostUnpacked);
            packed.Dispose();
            return new TarFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads an entry as an image; see <see cref="ImageFile.Read(string, ImageOrientation)"/>.</summary>
    /// <exception cref="FileFormatException">It is none.</exception>
    public Image ReadImage(TarEntry entry, ImageOrientation orientation = ImageOrientation.Exif) =>
        ImageFile.Read(file.Part(entry.Name, entry.Position, entry.Length), orientation);

    /// <summary>The first bytes of an entry.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="most">How many, where it has as many.</param>
    public byte[] ReadStart(TarEntry entry, int most) => file.ReadBytes(entry.Position, Math.Min(entry.Length, most), entry.Name);

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private List<TarEntry> ReadEntries()
    {
        List<TarEntry> entries = [];
        (string? name, long? size, bool announced) = (null, null, false); // what an extended header says of the next entry
        for (long position = 0; ;)
        {
            // Some writers leave out the two empty blocks at the end; a file that ends at an entry's end is whole.
            if (position == file.Length && position > 0 && !announced) return entries;
            byte[] header = file.ReadBytes(position, Block, position == 0 ? "the first header of a tar file"
                : $"the header after {Count(entries)}");
            if (!header.AsSpan().ContainsAnyExcept((byte)0) && !announced)
            {
                // The end, but where another tar file was joined to this one.
                position = AfterZeros(position + Block);
                if (position == file.Length) return entries;
                continue;
            }
            RequireChecksum(header, position, entries.Count);
            char type = (char)header[156];
            bool extended = type is 'x' or 'g' or 'L' or 'K';
            long length = extended ? Number(header.AsSpan(124, 12), "size") : size ?? Number(header.AsSpan(124, 12), "size");
            long content = position + Block;
            string entry = name ?? Name(header);
            if (length > file.Length - content)
            {
                throw file.Error($"entry {entries.Count} ('{entry}') says that it has {length} bytes, but {file.Length - content} are "
                    + "left; the tar file is truncated or damaged, fetch it again");
            }

            if (extended)
            {
                if (length > MaxName) throw file.Error($"an extended header has {length} bytes, at most {MaxName} are read");
                if (type == 'L') name = Text(file.ReadBytes(content, length, "a long name"));
                else if (type == 'x') ReadPax(file.ReadBytes(content, length, "an extended header"), ref name, ref size);
            }
            else
            {
                // Old writers mark a folder by its name alone.
                if (type is '0' or '\0' or '7' && !entry.EndsWith('/')) entries.Add(new TarEntry(entry, content, length));
                if (type is '1' or '2') links.Add(entry);
                (name, size) = (null, null);
            }
            announced = extended && type != 'g';
            // The last block may be cut where its padding is.
            position = Math.Min(content + (length + Block - 1) / Block * Block, file.Length);
        }
    }

    /// <summary>The block that has the next byte that is not zero; the file's end where there is none.</summary>
    private long AfterZeros(long position)
    {
        const int most = 1 << 16; // of the many blocks that some writers end with
        while (position < file.Length)
        {
            byte[] bytes = file.ReadBytes(position, Math.Min(most, file.Length - position), "the end of a tar file");
            int at = bytes.AsSpan().IndexOfAnyExcept((byte)0);
            if (at >= 0) return position + at / Block * Block;
            position += bytes.Length;
        }
        return position;
    }

    /// <summary>The sum of the header's bytes, with eight spaces where it stands itself.</summary>
    private void RequireChecksum(byte[] header, long position, int entries)
    {
        long sum = 8 * ' ';
        for (int i = 0; i < Block; i++) sum += i is >= 148 and < 156 ? 0 : header[i];
        long? found = TryOctal(header.AsSpan(148, 8));
        if (found == sum) return;
        throw file.Error(position == 0
            ? "expected a tar file, also with gzip, but the first header's checksum is wrong; unpack other compressions first"
            : $"the header at byte {position}, after {entries} entries, is damaged: its checksum is wrong; fetch the file again");
    }

    /// <summary>Records <c>LENGTH KEY=VALUE\n</c>, of which path and size matter.</summary>
    private void ReadPax(ReadOnlySpan<byte> records, ref string? name, ref long? size)
    {
        while (records.Length > 0)
        {
            int space = records.IndexOf((byte)' '), equals = records.IndexOf((byte)'=');
            if (space < 0 || !int.TryParse(records[..space], NumberStyles.None, CultureInfo.InvariantCulture, out int length) ||
                equals <= space || length <= equals + 1 || length > records.Length || records[length - 1] != '\n')
            {
                throw file.Error("an extended header is damaged: expected records 'LENGTH KEY=VALUE'; fetch the tar file again");
            }
            ReadOnlySpan<byte> key = records[(space + 1)..equals], value = records[(equals + 1)..(length - 1)];
            if (key.SequenceEqual("path"u8)) name = Text(value);
            if (key.SequenceEqual("size"u8))
            {
                if (!long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes))
                    throw file.Error($"an extended header has the size '{Text(value)}'; the tar file is damaged");
                size = bytes;
            }
            records = records[length..];
        }
    }

    private static string Name(ReadOnlySpan<byte> header)
    {
        string name = Text(header[..100]), prefix = header.Slice(257, 6).SequenceEqual("ustar\0"u8) ? Text(header.Slice(345, 155)) : "";
        return prefix.Length > 0 ? $"{prefix}/{name}" : name;
    }

    private long Number(ReadOnlySpan<byte> field, string what)
    {
        // GNU writes numbers that are too large for octal digits in binary, with the first bit set.
        if (field[0] == 0x80 && !field[1..4].ContainsAnyExcept((byte)0) && field[4] < 0x80)
            return BinaryPrimitives.ReadInt64BigEndian(field[4..]);
        return TryOctal(field) ?? throw file.Error(
            $"a header has the {what} '{Text(field)}', expected octal digits; the tar file is damaged, fetch it again");
    }

    /// <summary>Octal digits, with spaces and zero bytes around them.</summary>
    private static long? TryOctal(ReadOnlySpan<byte> field)
    {
        field = field.Trim(" \0"u8);
        if (field.ContainsAnyExceptInRange((byte)'0', (byte)'7')) return null;
        long value = 0;
        foreach (byte digit in field) value = 8 * value + (digit - '0');
        return value;
    }

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Utf8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private static string Count(List<TarEntry> entries) => entries.Count == 1 ? "1 entry" : $"{entries.Count} entries";
}
