using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace RawDiffusion.Formats;

/// <summary>What a path leads to, links followed.</summary>
/// <param name="Kind">What it is, for messages: <see cref="RegularFile"/>, "folder", "pipe", "socket" or "device".</param>
/// <param name="Identity">The same text for two paths if and only if they lead to one file: device and number of the file on Linux,
/// elsewhere the resolved path.</param>
public sealed partial record FileStatus(string Kind, string Identity)
{
    /// <summary>The <see cref="Kind"/> of what can be read at positions.</summary>
    public const string RegularFile = "regular file";

    private const int NotFound = 2, NotFolder = 20; // ENOENT, ENOTDIR

    /// <summary>Looks, without opening anything.</summary>
    /// <returns>Null where there is nothing at the path, or no folder to hold it.</returns>
    /// <exception cref="IOException">The system cannot tell: a name is too long, links go in a circle, a folder may not be looked
    /// into.</exception>
    public static FileStatus? Of(string path)
    {
        if (path.Length == 0 || path.Contains('\0')) return null;
        string full = Path.GetFullPath(path);
        return OperatingSystem.IsLinux() ? OfLinux(full) : OfOther(full);
    }

    private static unsafe FileStatus? OfLinux(string path)
    {
        const int here = -100, typeAndNumber = 0x101; // AT_FDCWD; STATX_TYPE | STATX_INO
        Span<byte> status = stackalloc byte[256];
        int failed;
        fixed (byte* buffer = status) failed = statx(here, path, 0, typeAndNumber, buffer);
        if (failed != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error is NotFound or NotFolder) return null;
            throw new IOException($"{path}: {Marshal.GetPInvokeErrorMessage(error)}");
        }
        string kind = (BinaryPrimitives.ReadUInt16LittleEndian(status[28..]) & 0xf000) switch
        {
            0x8000 => RegularFile,
            0x4000 => "folder",
            0x1000 => "pipe",
            0xc000 => "socket",
            _ => "device",
        };
        uint major = BinaryPrimitives.ReadUInt32LittleEndian(status[136..]), minor = BinaryPrimitives.ReadUInt32LittleEndian(status[140..]);
        return new FileStatus(kind, $"{major}:{minor}:{BinaryPrimitives.ReadUInt64LittleEndian(status[32..])}");
    }

    // Pipes and hard links are not told.
    private static FileStatus? OfOther(string path)
    {
        FileSystemInfo file = Directory.Exists(path) ? new DirectoryInfo(path) : new FileInfo(path);
        if (!file.Exists) return null;
        string target = file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? path;
        string parent = Path.GetDirectoryName(target) is { } folder && Of(folder) is { } status ? status.Identity : "";
        return new FileStatus(file is DirectoryInfo ? "folder" : RegularFile, Path.Combine(parent, Path.GetFileName(target))
            .ToUpperInvariant());
    }

    // One layout on every processor, which stat does not have.
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int folder, string path, int flags, uint mask, byte* status);
}
