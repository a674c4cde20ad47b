using Microsoft.Win32.SafeHandles;

namespace RawDiffusion.Formats;

/// <summary>
/// An open file that is read at positions, never as a whole; standard input is, into memory. Its length is taken once, when
/// it is opened, so that readers can check every declared length against it before they allocate.
/// </summary>
internal sealed class FileContent : IDisposable
{
    private readonly SafeFileHandle? handle;
    private readonly byte[] memory = []; // where there is no handle
    private readonly long start;
    private readonly bool owner = true;

    /// <summary>Opens a file; see <see cref="RegularFile"/>.</summary>
    /// <exception cref="FileFormatException">Standard input is too long.</exception>
    /// <exception cref="IOException">The file cannot be opened, or is not a regular file.</exception>
    public FileContent(string path)
    {
        if (path == RegularFile.StandardInput)
        {
            (Path, memory) = ("standard input", RegularFile.ReadStandardInput());
            Length = memory.Length;
            return;
        }
        Path = path;
        handle = RegularFile.Open(path);
        Length = RandomAccess.GetLength(handle);
    }

    /// <summary>Takes over an open file, which errors call by another name.</summary>
    public FileContent(SafeFileHandle handle, string path, long length) => (this.handle, Path, Length) = (handle, path, length);

    private FileContent(FileContent whole, string path, long start, long length)
    {
        owner = false;
        (handle, memory, Path, this.start, Length) = (whole.handle, whole.memory, path, start, length);
    }

    public string Path { get; }

    public long Length { get; }

    /// <summary>A part of the file as a file of its own, under its own name; it is closed with the whole.</summary>
    public FileContent Part(string name, long position, long length)
    {
        if (position < 0 || length < 0 || position > Length || length > Length - position)
            throw Error($"'{name}' reaches past the end of the file");
        return new FileContent(this, $"{Path}/{name}", start + position, length);
    }

    /// <summary>Fills the span from a position that the caller has checked against <see cref="Length"/>.</summary>
    /// <exception cref="IOException">The file has become shorter since it was opened.</exception>
    public void Read(long position, Span<byte> destination)
    {
        if (handle is null)
        {
            memory.AsSpan((int)(start + position), destination.Length).CopyTo(destination);
            return;
        }
        while (destination.Length > 0)
        {
            int count = RandomAccess.Read(handle, destination, start + position);
            if (count == 0) throw new IOException($"{Path} ended at byte {position} while it was read: it was changed by another program");
            position += count;
            destination = destination[count..];
        }
    }

    /// <summary>The bytes at a position; the file must hold them.</summary>
    /// <exception cref="FileFormatException">The range reaches past the end of the file.</exception>
    public byte[] ReadBytes(long position, long count, string what)
    {
        if (position < 0 || count < 0 || position > Length || count > Length - position || count > Array.MaxLength)
        {
            throw Error($"{what} takes {count} bytes from byte {position}, but the file has {Length}; it is truncated or damaged, fetch "
                + "it again");
        }

        byte[] bytes = new byte[count];
        Read(position, bytes);
        return bytes;
    }

    /// <summary>
    /// An exception whose message starts with the file's name. Messages quote names from the file, which may be long and
    /// may hold line ends or terminal escapes: the message is cut to one readable line.
    /// </summary>
    public FileFormatException Error(string message, Exception? inner = null)
    {
        const int longest = 1000;
        if (message.Length > longest) message = message[..longest] + "...";
        message = string.Concat(message.Select(c => char.IsControl(c) ? ' ' : c));
        return new FileFormatException($"{System.IO.Path.GetFileName(Path)}: {message}", inner);
    }

    public void Dispose()
    {
        if (owner) handle?.Dispose();
    }
}
