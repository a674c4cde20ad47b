using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Images of a set, decoded and resized, in one file. They are the same, bit for bit: bytes where each value is a whole number of
/// 255ths, else floats. Every image has a checksum that is verified when it is loaded.
/// </summary>
/// <remarks>
/// The file, little-endian: <c>RDPACK02</c>; N, S, bytes of a value (1 or 4), number of images that were skipped, each of 4 bytes;
/// SHA-256 of the set's <see cref="ImageSet.Identity"/>; CRC-32 of all that; N images [S, S, 3]; N CRC-32s of them; which images of the
/// set were skipped, ascending, and a CRC-32 of that. The file is read
/// at positions, through the system's file cache: unlike a mapped file, one that is cut off meanwhile is an error and no crash.
/// </remarks>
public sealed class PackedSet : ImageSet
{
    /// <summary>The ending of a packed file's name.</summary>
    public const string Extension = ".pack";

    private const int HeaderLength = 8 + 4 * 4 + 32 + 4;
    private const int ImagesAtOnce = 64;

    private readonly SafeFileHandle file;
    private readonly string path;
    private readonly Header header;
    private readonly byte[] checksums;

    private PackedSet(SafeFileHandle file, string path, Header header, byte[] checksums, int[] skipped)
        : base(path, header.Count, header.Size) =>
        (this.file, this.path, this.header, this.checksums, SkippedImages) = (file, path, header, checksums, skipped);

    /// <summary>Images of the set that could not be read when it was packed, and are not here.</summary>
    public int Skipped => header.Skipped;

    /// <summary>Which images of the set they were, ascending.</summary>
    public IReadOnlyList<int> SkippedImages { get; }

    /// <summary>Bytes of a value: 1, or 4 for floats.</summary>
    public int ValueBytes => header.ValueBytes;

    /// <inheritdoc/>
    public override string Identity => $"packed from {header.Key}, {Count} images";

    /// <inheritdoc/>
    public override IEnumerable<string> Files => [path];

    /// <summary>The checksums of all images.</summary>
    public override string Content =>
        $"packed, {Count} images of {Size} pixels, {ValueBytes} bytes a value\n{Convert.ToHexStringLower(SHA256.HashData(checksums))}";

    /// <summary>Opens a packed file.</summary>
    /// <exception cref="FileFormatException">It is none, or is truncated or damaged.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PackedSet Open(string path)
    {
        SafeFileHandle file = RegularFile.Open(path);
        try
        {
            byte[] bytes = new byte[HeaderLength];
            Read(file, path, 0, bytes);
            Header header = Header.Parse(bytes) ?? throw new FileFormatException(
                $"{path}: expected a packed set of images, found another file, or a damaged one; make it again with dataset pack");
            long length = header.SkippedEnd + 4;
            if (RandomAccess.GetLength(file) != length)
            {
                throw new FileFormatException($"{path}: expected {length} bytes for {header.Count} images, found "
                    + $"{RandomAccess.GetLength(file)}; the file is truncated or damaged, make it again with dataset pack");
            }

            byte[] checksums = new byte[4 * header.Count];
            Read(file, path, header.ImagesEnd, checksums);
            byte[] list = new byte[4 * header.Skipped + 4];
            Read(file, path, header.SkippedEnd - 4L * header.Skipped, list);
            int[] skipped = [.. Enumerable.Range(0, header.Skipped)
                .Select(i => BinaryPrimitives.ReadInt32LittleEndian(list.AsSpan(4 * i)))];
            bool good = Crc32.Of(list.AsSpan(..^4)) == BinaryPrimitives.ReadUInt32LittleEndian(list.AsSpan(list.Length - 4))
                && skipped.Select((image, i) => image >= 0 && image < (long)header.Count + header.Skipped
                && (i == 0 || image > skipped[i - 1])).All(fits => fits);
            if (!good)
                throw new FileFormatException($"{path}: the list of skipped images is damaged; make the file again with dataset pack");
            return new PackedSet(file, path, header, checksums, skipped);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Packs a set.</summary>
    /// <param name="set">Images to take batches from.</param>
    /// <param name="path">The file to make or replace, whole or not at all.</param>
    /// <param name="options">Threads, what to do about images that cannot be read.</param>
    /// <param name="cancellation">Stops between images.</param>
    /// <exception cref="FileFormatException">With <see cref="PackOptions.Strict"/>, an image that cannot be read; else a set in which none
    /// can.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(ImageSet set, string path, PackOptions options, CancellationToken cancellation = default) =>
        WriteFile(set, KeyOf(set), path, options, cancellation);

    /// <summary>
    /// The set as a packed file in a cache: made where it is not there yet, used again as long as the set's <see cref="ImageSet.Identity"/>
    /// is the same. A damaged one is made again.
    /// </summary>
    /// <param name="set">The images; the caller may dispose it afterwards.</param>
    /// <param name="cacheFolder">Where packed files are; made where it is missing.</param>
    /// <param name="options">Threads, what to do about images that cannot be read.</param>
    /// <param name="cancellation">Stops between images.</param>
    /// <exception cref="FileFormatException">See <see cref="Write"/>.</exception>
    /// <exception cref="IOException">The folder or the file cannot be written.</exception>
    public static PackedSet For(ImageSet set, string cacheFolder, PackOptions options, CancellationToken cancellation = default)
    {
        string key = KeyOf(set), path = Path.Combine(cacheFolder, key[..32] + Extension);
        if (TryOpen(path, key) is { } cached)
        {
            if (!options.Strict || cached.Skipped == 0) return cached;
            cached.Dispose(); // packing again tells which image cannot be read
        }
        DirectoryInfo folder = Directory.CreateDirectory(cacheFolder);
        // What processes left that were killed while they packed.
        foreach (FileInfo left in folder.GetFiles("*.tmp"))
            if (left.LastWriteTimeUtc < DateTime.UtcNow.AddDays(-1)) left.Delete();
        WriteFile(set, key, path, options, cancellation);
        return Open(path);
    }

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        byte[] bytes = new byte[header.ImageLength];
        Read(file, path, HeaderLength + header.ImageLength * index, bytes);
        if (Crc32.Of(bytes) != BinaryPrimitives.ReadUInt32LittleEndian(checksums.AsSpan(4 * index)))
            throw new FileFormatException($"{NameOf(index)}: the checksum is wrong, the file is damaged; make it again with dataset pack");
        if (header.ValueBytes == 4) MemoryMarshal.Cast<byte, float>(bytes).CopyTo(pixels);
        else for (int i = 0; i < bytes.Length; i++) pixels[i] = FromByte(bytes[i]);
    }

    /// <inheritdoc/>
    public override string NameOf(int index) => $"{path}, image {index}";

    /// <inheritdoc/>
    public override void Dispose()
    {
        file.Dispose();
        base.Dispose();
    }

    private static void WriteFile(ImageSet set, string key, string path, PackOptions options, CancellationToken cancellation)
    {
        int told = 0;
        var policy = new ReadPolicy(set, options.Strict, options.Warn);
        AtomicFile.Write(path, stream =>
        {
            // Bytes are tried first; the first image that they cannot hold is usually the very first.
            if (!TryWrite(1)) TryWrite(4);

            bool TryWrite(int valueBytes)
            {
                var header = new Header(0, set.Size, valueBytes, 0, key);
                using MemoryStream checksums = new(), skipped = new();
                stream.SetLength(0);
                stream.Write(header.ToBytes());
                foreach ((byte[]? bytes, Exception? problem) in PackAll(set, valueBytes, options.Threads, cancellation))
                {
                    if (bytes is null && problem is null) return false;
                    int index = header.Count + header.Skipped;
                    if (problem is not null) policy.Refuse(index, problem);
                    if (bytes is null) skipped.Write(BitConverter.GetBytes(index));
                    header = bytes is not null ? header with { Count = header.Count + 1 } : header with { Skipped = header.Skipped + 1 };
                    if (bytes is not null)
                    {
                        stream.Write(bytes);
                        checksums.Write(BitConverter.GetBytes(Crc32.Of(bytes)));
                    }
                    if (index < told) continue;
                    told++;
                    options.Progress?.Invoke();
                }
                if (header.Count == 0) throw policy.NoneLeft();
                checksums.WriteTo(stream);
                skipped.WriteTo(stream);
                stream.Write(BitConverter.GetBytes(Crc32.Of(skipped.ToArray())));
                stream.Position = 0;
                stream.Write(header.ToBytes());
                return true;
            }
        });
    }

    /// <summary>The images in order, some loaded at once.</summary>
    private static IEnumerable<Packed> PackAll(ImageSet set, int valueBytes, int threads, CancellationToken cancellation)
    {
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = cancellation };
        for (int start = 0; start < set.Count; start += ImagesAtOnce)
        {
            int first = start;
            var loaded = new Packed[Math.Min(ImagesAtOnce, set.Count - first)];
            Parallel.For(0, loaded.Length, parallel, i => loaded[i] = Pack(set, first + i, valueBytes));
            foreach (Packed packed in loaded) yield return packed;
        }
    }

    private static Packed Pack(ImageSet set, int index, int valueBytes)
    {
        float[] pixels = new float[set.Length];
        if (ReadPolicy.Attempt(() => set.Load(index, pixels)) is { } problem) return new Packed(null, problem);
        if (valueBytes == 4) return new Packed(MemoryMarshal.AsBytes<float>(pixels).ToArray(), null);
        byte[] bytes = new byte[pixels.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = (byte)MathF.Round(255 * Math.Clamp(pixels[i], 0, 1));
            if (FromByte(bytes[i]) != pixels[i]) return new Packed(null, null);
        }
        return new Packed(bytes, null);
    }

    /// <summary>As images are converted that are not resized.</summary>
    private static float FromByte(byte value) => (float)(value / 255.0);

    private static string KeyOf(ImageSet set) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(set.Identity)));

    private static PackedSet? TryOpen(string path, string key)
    {
        if (!File.Exists(path)) return null;
        try
        {
            PackedSet set = Open(path);
            if (set.header.Key == key) return set;
            set.Dispose();
            return null;
        }
        catch (FileFormatException)
        {
            return null;
        }
    }

    private static void Read(SafeFileHandle file, string path, long position, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            int count = RandomAccess.Read(file, destination, position);
            if (count == 0)
            {
                throw new FileFormatException(
                    $"{path}: the file ends at byte {position}; it is truncated, make it again with dataset pack");
            }
            position += count;
            destination = destination[count..];
        }
    }

    /// <summary>An image's bytes, or why there are none; neither where it does not fit bytes.</summary>
    private readonly record struct Packed(byte[]? Bytes, Exception? Problem);

    private sealed record Header(int Count, int Size, int ValueBytes, int Skipped, string Key)
    {
        private static ReadOnlySpan<byte> Magic => "RDPACK02"u8;

        public long ImageLength => 3L * Size * Size * ValueBytes;

        public long ImagesEnd => HeaderLength + ImageLength * Count;

        public long SkippedEnd => ImagesEnd + 4L * Count + 4L * Skipped;

        public byte[] ToBytes()
        {
            byte[] bytes = new byte[HeaderLength];
            Magic.CopyTo(bytes);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(8), Count);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), Size);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(16), ValueBytes);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(20), Skipped);
            Convert.FromHexString(Key).CopyTo(bytes, 24);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(HeaderLength - 4), Crc32.Of(bytes.AsSpan(0, HeaderLength - 4)));
            return bytes;
        }

        /// <summary>The header, or null where it is none or out of range.</summary>
        public static Header? Parse(ReadOnlySpan<byte> bytes)
        {
            if (!bytes.StartsWith(Magic) || BinaryPrimitives.ReadUInt32LittleEndian(bytes[(HeaderLength - 4)..]) != Crc32.Of(
                bytes[..(HeaderLength - 4)]))
            {
                return null;
            }
            var header = new Header(
                BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]), BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]),
                BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]), BinaryPrimitives.ReadInt32LittleEndian(bytes[20..]),
                Convert.ToHexStringLower(bytes[24..56]));
            bool good = header is
            {
                Count: > 0 and < int.MaxValue / 4, Size: > 0 and <= MaxSize, ValueBytes: 1 or 4,
                Skipped: >= 0 and < int.MaxValue / 4 - 1
            };
            return good ? header : null;
        }
    }
}

/// <summary>How a set is packed.</summary>
public sealed record PackOptions
{
    /// <summary>Threads that load images. The result does not depend on it.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Whether an image that cannot be read is an error; else it is skipped and counted.</summary>
    public bool Strict { get; init; }

    /// <summary>Told of each image that is skipped.</summary>
    public Action<string>? Warn { get; init; }

    /// <summary>Told after each image.</summary>
    public Action? Progress { get; init; }
}
