using System.IO.Enumeration;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Patterns of paths as Python's <c>glob</c> has them: <c>*</c> and <c>?</c> within a name, <c>**</c> for any folders below. Names that
/// start with a dot match only a pattern that does.
/// </summary>
public static class GlobPattern
{
    // A link may lead back to a folder above it.
    private const int MaxDepth = 32;

    /// <summary>Whether a path is a pattern rather than a name.</summary>
    public static bool Is(string path) => path.AsSpan().IndexOfAny('*', '?') >= 0;

    /// <summary>The files that match, sorted by the code units of their paths.</summary>
    /// <exception cref="IOException">A folder cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A folder cannot be read.</exception>
    public static IReadOnlyList<string> Files(string pattern)
    {
        string root = Path.IsPathRooted(pattern) ? Path.GetPathRoot(pattern)! : "";
        string[] parts = pattern[root.Length..].Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries);
        HashSet<string> found = new(StringComparer.Ordinal);
        if (parts.Length > 0) Match(root, parts, found, 0);
        return [.. found.Order(StringComparer.Ordinal)];
    }

    private static void Match(string folder, ReadOnlySpan<string> parts, HashSet<string> found, int depth)
    {
        string part = parts[0];
        bool last = parts.Length == 1;
        if (part == "**")
        {
            if (depth >= MaxDepth) return;
            Match(folder, last ? ["*"] : parts[1..], found, depth);
            foreach (string below in Entries(folder, "*", folders: true)) Match(below, parts, found, depth + 1);
        }
        else if (!Is(part))
        {
            string path = Path.Combine(folder, part);
            if (!last) Match(path, parts[1..], found, depth);
            else if (File.Exists(path)) found.Add(path);
        }
        else if (last)
        {
            found.UnionWith(Entries(folder, part, folders: false));
        }
        else
        {
            foreach (string below in Entries(folder, part, folders: true)) Match(below, parts[1..], found, depth);
        }
    }

    private static IEnumerable<string> Entries(string folder, string pattern, bool folders)
    {
        var info = new DirectoryInfo(folder.Length == 0 ? "." : folder);
        if (!info.Exists) return [];
        return info.EnumerateFileSystemInfos()
            .Where(e => e.Name.StartsWith('.') == pattern.StartsWith('.') && FileSystemName.MatchesSimpleExpression(pattern, e.Name, ignoreCase: false))
            .Where(e => folders ? Directory.Exists(e.FullName) : File.Exists(e.FullName))
            .Select(e => Path.Combine(folder, e.Name));
    }
}
