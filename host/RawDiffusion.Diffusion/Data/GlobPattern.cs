using System.IO.Enumeration;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Patterns of paths as Python's <c>glob</c> has them: <c>*</c> and <c>?</c> within a name, <c>**</c> for any folders below. Names that
/// start with a dot match only a pattern that does. Links to folders are followed; each folder is looked into once, by its real path
/// where it has one below, so that links can lead in circles.
/// </summary>
public static class GlobPattern
{
    /// <summary>Whether a path is a pattern rather than a name.</summary>
    public static bool Is(string path) => path.AsSpan().IndexOfAny('*', '?') >= 0;

    /// <summary>The files that match, sorted by the code units of their paths.</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="passedOver">Receives what would match and cannot be read, and what is hidden.</param>
    public static IReadOnlyList<string> Files(string pattern, PassedOver passedOver)
    {
        string root = Path.IsPathRooted(pattern) ? Path.GetPathRoot(pattern)! : "";
        string[] parts = pattern[root.Length..]
            .Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries);
        return parts.Length > 0 ? new Search(passedOver).Find(root, parts) : [];
    }

    /// <summary>The files in a folder and in those below it, sorted as <see cref="Files"/> does.</summary>
    /// <param name="folder">The folder; a name, no pattern.</param>
    /// <param name="passedOver">Receives what cannot be read, and what is hidden.</param>
    public static IReadOnlyList<string> FilesBelow(string folder, PassedOver passedOver) => new Search(passedOver).Find(folder, ["**"]);

    private sealed class Search(PassedOver passedOver)
    {
        private readonly RealPaths real = new();

        // By real path and number of parts left: the path by which the folder was reached first.
        private readonly Dictionary<(string Folder, int Left), string> seen = [];

        // What is reached by links waits, so that a folder's own path is the one that counts.
        private readonly Queue<(string Folder, string[] Parts)> folders = new(), linked = new();
        private readonly HashSet<string> found = new(StringComparer.Ordinal), passed = new(StringComparer.Ordinal);

        public IReadOnlyList<string> Find(string root, string[] parts)
        {
            folders.Enqueue((root, parts));
            while (folders.TryDequeue(out (string Folder, string[] Parts) next) || linked.TryDequeue(out next))
                Visit(next.Folder, next.Parts);
            return [.. found.Order(StringComparer.Ordinal)];
        }

        private void Visit(string folder, string[] parts)
        {
            (string, int) key = (real.Of(folder.Length == 0 ? "." : folder), parts.Length);
            if (!seen.TryAdd(key, folder))
            {
                if (seen[key] != folder) Pass(PassReason.Again, folder);
                return;
            }
            string part = parts[0];
            bool last = parts.Length == 1;
            if (part == "**")
            {
                if (last) AddFiles(folder, "*");
                else Visit(folder, parts[1..]);
                Enqueue(folder, "*", parts);
            }
            else if (!Is(part))
            {
                string path = Path.Combine(folder, part);
                if (!last) folders.Enqueue((path, parts[1..]));
                else if (File.Exists(path)) found.Add(path);
            }
            else if (last)
            {
                AddFiles(folder, part);
            }
            else
            {
                Enqueue(folder, part, parts[1..]);
            }
        }

        private void AddFiles(string folder, string pattern)
        {
            foreach ((_, string path) in Entries(folder, pattern, folders: false)) found.Add(path);
        }

        private void Enqueue(string folder, string pattern, string[] parts)
        {
            foreach ((FileSystemInfo entry, string path) in Entries(folder, pattern, folders: true))
                (entry.LinkTarget is null ? folders : linked).Enqueue((path, parts));
        }

        private IEnumerable<(FileSystemInfo Entry, string Path)> Entries(string folder, string pattern, bool folders)
        {
            foreach (FileSystemInfo entry in List(folder))
            {
                if (entry is DirectoryInfo != folders || !FileSystemName.MatchesSimpleExpression(pattern, entry.Name, ignoreCase: false))
                    continue;
                string path = Path.Combine(folder, entry.Name);
                if (entry.Name.StartsWith('.') == pattern.StartsWith('.') && IsThere(entry, path)) yield return (entry, path);
                else if (entry.Name.StartsWith('.') && !pattern.StartsWith('.')) Pass(PassReason.Hidden, path);
            }
        }

        private bool IsThere(FileSystemInfo entry, string path)
        {
            // A link counts as a file that is there, whether there is anything at its end or not.
            string end = entry.LinkTarget is null ? path : real.Of(path);
            if (entry is DirectoryInfo ? Directory.Exists(end) : File.Exists(end) && new FileInfo(end).LinkTarget is null) return true;
            // What is no UTF-8 in a name comes as U+FFFD, and then the text is no name of the file.
            bool lost = entry.Name.Contains('\ufffd');
            Pass(lost ? PassReason.NotUtf8 : entry.LinkTarget is null ? PassReason.Permission : PassReason.DeadLink, path);
            return false;
        }

        private FileSystemInfo[] List(string folder)
        {
            try
            {
                return [.. new DirectoryInfo(folder.Length == 0 ? "." : folder).EnumerateFileSystemInfos()
                    .OrderBy(e => e.Name, StringComparer.Ordinal)];
            }
            catch (DirectoryNotFoundException)
            {
                // The pattern asks for a folder that is not everywhere.
            }
            catch (UnauthorizedAccessException)
            {
                Pass(PassReason.Permission, folder);
            }
            catch (IOException) when (!File.Exists(folder))
            {
                Pass(PassReason.Unreadable, folder);
            }
            catch (IOException)
            {
                // A file, where the pattern asks for a folder.
            }
            return [];
        }

        private void Pass(PassReason reason, string path)
        {
            if (passed.Add(path)) passedOver.Add(reason, path);
        }
    }
}
