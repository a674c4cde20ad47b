namespace RawDiffusion.Diffusion.Data;

/// <summary>What paths stand for once all symbolic links are followed, in the last name and in the folders before it.</summary>
/// <remarks>Folders are remembered: an object sees the links as they were when it first met them, and belongs to one thread.</remarks>
internal sealed class RealPaths
{
    // As many as Linux follows.
    private const int MaxLinks = 40;

    private readonly Dictionary<string, string> folders = new(StringComparer.Ordinal);
    private int links;

    /// <summary>The path without links; where links lead in a circle, as far as they were followed.</summary>
    public string Of(string path)
    {
        links = 0;
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return Path.GetDirectoryName(full) is { } folder ? Follow(Folder(folder), Path.GetFileName(full)) : full;
    }

    private string Folder(string full)
    {
        if (folders.TryGetValue(full, out string? known)) return known;
        string real = Path.GetDirectoryName(full) is { } above ? Follow(Folder(above), Path.GetFileName(full)) : full;
        if (links <= MaxLinks) folders[full] = real;
        return real;
    }

    // A name in a folder that is real itself.
    private string Follow(string folder, string name)
    {
        string path = Path.Join(folder, name);
        if (new FileInfo(path).LinkTarget is not { } target || ++links > MaxLinks) return path;
        string at = folder;
        if (Path.IsPathRooted(target)) (at, target) = (Path.GetPathRoot(target)!, target[Path.GetPathRoot(target)!.Length..]);
        foreach (string part in target.Split(
            [Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries))
        {
            at = part switch
            {
                "." => at,
                // The folder above where a link leads to, not above the link.
                ".." => Path.GetDirectoryName(at) ?? at,
                _ => Folder(Path.Join(at, part)),
            };
        }
        return at;
    }
}
