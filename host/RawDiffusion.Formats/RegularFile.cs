using Microsoft.Win32.SafeHandles;

namespace RawDiffusion.Formats;

/// <summary>
/// The one way to open a file that a user names: regular files, as a pipe would be waited for, and a device may have no end; and
/// <see cref="StandardInput"/>, up to <see cref="MaxStandardInput"/> bytes.
/// </summary>
public static class RegularFile
{
    /// <summary>The path that stands for standard input. It can be read once.</summary>
    public const string StandardInput = "-";

    /// <summary>Bytes of standard input that are read at most: they are held in memory.</summary>
    public const int MaxStandardInput = 1 << 30;

    /// <summary>Opens a file for reading; other readers, and a rename over it, stay possible.</summary>
    /// <exception cref="IOException">There is no such file, it is not a regular one, or it cannot be opened.</exception>
    public static SafeFileHandle Open(string path)
    {
        if (FileStatus.Of(path) is { Kind: not FileStatus.RegularFile and var kind })
            throw new IOException($"expected a regular file, found the {kind} {path}; {StandardInput} reads standard input");
        return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
    }

    /// <summary>Opens a file for reading from start to end.</summary>
    /// <exception cref="IOException">There is no such file, it is not a regular one, or it cannot be opened.</exception>
    public static FileStream OpenStream(string path) => new(Open(path), FileAccess.Read);

    /// <summary>Reads a whole file, or standard input.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="longest">Bytes that are read at most.</param>
    /// <exception cref="FileFormatException">It is longer.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[] ReadAllBytes(string path, int longest)
    {
        if (path == StandardInput) return ReadStandardInput(longest);
        using FileStream stream = OpenStream(path);
        if (stream.Length > longest) throw new FileFormatException($"{path}: expected at most {longest} bytes, found {stream.Length}");
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Reads all that comes on standard input.</summary>
    /// <exception cref="FileFormatException">More than <paramref name="longest"/> bytes come.</exception>
    /// <exception cref="IOException">Nothing comes, or it is a terminal.</exception>
    internal static byte[] ReadStandardInput(int longest = MaxStandardInput)
    {
        if (!Console.IsInputRedirected)
            throw new IOException("expected a file on standard input, found a terminal: write '< FILE' or 'command |'");
        using Stream input = Console.OpenStandardInput();
        byte[] bytes = new byte[1 << 16];
        for (int length = 0; ;)
        {
            int count = input.Read(bytes, length, bytes.Length - length);
            length += count;
            if (length > longest)
                throw new FileFormatException($"standard input: expected at most {longest} bytes, found more: give a file");
            if (count > 0 && length == bytes.Length) Array.Resize(ref bytes, (int)Math.Min(2L * length, longest + 1L));
            if (count > 0) continue;
            if (length == 0) throw new IOException("expected a file on standard input, found nothing; it can be read once, by one process");
            return bytes[..length];
        }
    }
}
