using System.Security.Cryptography;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// A folder of compiled kernels, one file each, shared by all processes of a user. Entries appear whole or not at all;
/// one that is truncated or damaged counts as missing. A folder that cannot be read or written is an empty cache: it
/// costs time, not results. Thread-safe. The folder may be deleted at any time.
/// </summary>
/// <param name="folder">Where the entries are; made when the first is written.</param>
public sealed class KernelCache(string folder)
{
    /// <summary>The environment variable that names the folder instead of the user's cache folder.</summary>
    public const string FolderVariable = "RAWDIFFUSION_KERNEL_CACHE";

    private const string Extension = ".kernel";

    /// <summary>
    /// The folder that <see cref="FolderVariable"/> names, else <c>kernels</c> of <see cref="UserCache"/>; null where a user has none
    /// of them.
    /// </summary>
    public static KernelCache? OfUser { get; } = UserFolder() is { } folder ? new(folder) : null;

    /// <summary>Where the entries are.</summary>
    public string Folder => folder;

    /// <summary>Number and size in bytes of all entries; zero where the folder cannot be read.</summary>
    public (int Count, long Bytes) Size()
    {
        try
        {
            FileInfo[] files = new DirectoryInfo(folder).GetFiles("*" + Extension);
            return (files.Length, files.Sum(f => f.Length));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return (0, 0);
        }
    }

    /// <summary>Whether entries can be kept, by trying: makes the folder if need be.</summary>
    public bool IsWritable()
    {
        string temporary = Path.Combine(folder, $"{Guid.NewGuid():n}.tmp");
        try
        {
            Directory.CreateDirectory(folder);
            File.WriteAllBytes(temporary, []);
            File.Delete(temporary);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The entry of a key; null if there is none or it is damaged.</summary>
    internal byte[]? Read(string key)
    {
        try
        {
            byte[] file = File.ReadAllBytes(PathOf(key));
            if (file.Length <= SHA256.HashSizeInBytes) return null;
            byte[] image = file[SHA256.HashSizeInBytes..];
            return SHA256.HashData(image).AsSpan().SequenceEqual(file.AsSpan(0, SHA256.HashSizeInBytes)) ? image : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Keeps an entry: checksum, then content. The checksum also tells a truncated entry.</summary>
    internal void Write(string key, byte[] image)
    {
        string temporary = $"{PathOf(key)}.{Guid.NewGuid():n}.tmp";
        try
        {
            Directory.CreateDirectory(folder);
            File.WriteAllBytes(temporary, [.. SHA256.HashData(image), .. image]);
            File.Move(temporary, PathOf(key), overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Discard(temporary);
        }
    }

    private static void Discard(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A full disk may keep a few bytes under a name that nobody reads.
        }
    }

    private static string? UserFolder()
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } chosen) return chosen;
        return UserCache.Folder("kernels");
    }

    private string PathOf(string key) => Path.Combine(folder, key + Extension);
}
