using System.IO.Compression;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace RawDiffusion.Formats;

/// <summary>Unpacks gzip to a file that is read at positions, and that is gone when it is closed, however the process ends.</summary>
/// <remarks>Specification: RFC 1952; members that follow each other are one content.</remarks>
internal static class GzipFile
{
    private const int BufferBytes = 1 << 16;

    public static bool Matches(FileContent file) => file.Length >= 2 && file.ReadBytes(0, 2, "the file's start") is [0x1f, 0x8b];

    /// <summary>Unpacks a file.</summary>
    /// <param name="packed">The file.</param>
    /// <param name="folder">Where to; made where it is missing.</param>
    /// <param name="most">Bytes that it may take; null for half of what is free there.</param>
    /// <exception cref="FileFormatException">It is truncated or damaged, or takes more.</exception>
    /// <exception cref="IOException">The folder cannot be written to.</exception>
    public static FileContent Unpack(FileContent packed, string folder, long? most = null)
    {
        Directory.CreateDirectory(folder);
        long limit = most ?? new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace / 2;
        string path = Path.Combine(folder, $"{Guid.NewGuid():n}.tmp");
        SafeFileHandle handle = File.OpenHandle(
            path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, FileOptions.DeleteOnClose);
        try
        {
            if (!OperatingSystem.IsWindows()) File.Delete(path);
            long length = Write(packed, handle, folder, limit);
            return new FileContent(handle, packed.Path, length);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static long Write(FileContent packed, SafeFileHandle handle, string folder, long limit)
    {
        // .NET ends in silence where the compressed data does. A last member of our own tells whether all before it was whole.
        byte[] end = RandomNumberGenerator.GetBytes(32);
        using var source = new Source(packed, Pack(end));
        using var gzip = new GZipStream(source, CompressionMode.Decompress);
        byte[] buffer = new byte[BufferBytes];
        long length = 0;
        while (Read() is > 0 and int count)
        {
            if (count > limit + end.Length - length)
            {
                throw packed.Error($"unpacked it takes more than {limit} bytes, half of what is free in {folder}; unpack it with gunzip "
                    + "where there is room");
            }

            RandomAccess.Write(handle, buffer.AsSpan(0, count), length);
            length += count;
        }
        byte[] last = new byte[end.Length];
        length -= end.Length;
        if (length < 0 || RandomAccess.Read(handle, last, length) != last.Length || !last.SequenceEqual(end))
            throw packed.Error("the compressed data ends too early; the file is truncated or damaged, fetch it again");
        return length;

        int Read()
        {
            try
            {
                return gzip.Read(buffer);
            }
            catch (Exception e) when (!ReferenceEquals(e, source.Failure))
            {
                throw packed.Error("the compressed data is damaged or truncated; fetch the file again", e);
            }
        }
    }

    private static byte[] Pack(byte[] content)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.NoCompression, leaveOpen: true)) gzip.Write(content);
        return packed.ToArray();
    }

    /// <summary>A file from start to end, and bytes behind it.</summary>
    private sealed class Source(FileContent file, byte[] behind) : Stream
    {
        private long position;

        /// <summary>What reading the file threw: no fault of its content.</summary>
        public Exception? Failure { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(Span<byte> buffer)
        {
            bool inside = position < file.Length;
            int count = (int)Math.Min(buffer.Length, (inside ? file.Length : file.Length + behind.Length) - position);
            try
            {
                if (inside) file.Read(position, buffer[..count]);
                else behind.AsSpan((int)(position - file.Length), count).CopyTo(buffer);
            }
            catch (Exception e)
            {
                Failure = e;
                throw;
            }
            position += count;
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
