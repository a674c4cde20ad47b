using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Output;

/// <summary>
/// A folder that gets all files of a command or none. Files are written under temporary names, and renamed together by
/// <see cref="Commit"/>. Until then, disposal or cancellation removes the temporaries, and folders that were made here.
/// </summary>
internal sealed class OutputFolder : IDisposable
{
    private readonly Lock gate = new();
    private readonly List<(string Temporary, string Final)> files = [];
    private readonly List<string> madeFolders = [];
    private readonly CancellationToken cancellation;
    private readonly CancellationTokenRegistration registration;
    private bool closed;

    /// <summary>Makes the folder where it is missing, and makes sure that files can be written to it.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="cancellation">Removes at once what was made.</param>
    /// <exception cref="CommandException">The folder cannot be made or written to.</exception>
    public OutputFolder(string path, CancellationToken cancellation)
    {
        FullPath = Path.GetFullPath(path);
        this.cancellation = cancellation;
        try
        {
            if (File.Exists(FullPath)) throw new CommandException($"expected a folder for the results at {path}, found a file");
            Make(FullPath);
            string probe = Path.Combine(FullPath, $".rawdiffusion-{Guid.NewGuid():n}.tmp");
            using (new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose))
            {
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Abandon();
            throw new CommandException($"cannot write to the folder {path}: {e.Message}");
        }
        catch
        {
            Abandon();
            throw;
        }
        registration = cancellation.Register(Abandon);
    }

    /// <summary>Full path of the folder that results go to.</summary>
    public string FullPath { get; }

    /// <summary>
    /// Refuses names that cannot be written, or under which an input would be overwritten, before any work is done for them. Paths
    /// are compared by what they lead to: through links, under a hard link's other name, in another case where the system ignores it.
    /// </summary>
    /// <param name="names">Files that will be added.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <exception cref="CommandException">One is both, a folder or device has the name, or the name is too long.</exception>
    public void Reserve(IEnumerable<string> names, IEnumerable<string> inputs)
    {
        // A file that standard input comes from has this name on Unix; elsewhere there is nothing of the name.
        IEnumerable<string> paths = inputs.Select(i => i == RegularFile.StandardInput ? "/dev/stdin" : i);
        HashSet<string> read = [.. paths.Select(FileStatus.Of).OfType<FileStatus>().Select(s => s.Identity)];
        foreach (string name in names)
        {
            string path = Path.Combine(FullPath, name);
            FileStatus? found;
            try
            {
                found = FileStatus.Of(path);
            }
            catch (IOException e)
            {
                throw new CommandException($"cannot write the result {e.Message}");
            }
            if (found is null) continue;
            if (read.Contains(found.Identity))
                throw new CommandException($"the result {path} would overwrite an input: write it to another folder or name");
            if (found.Kind != FileStatus.RegularFile)
                throw new CommandException($"expected to write the file {path}, found a {found.Kind} of that name");
        }
    }

    /// <summary>Writes a file under a temporary name.</summary>
    /// <param name="name">Its final name.</param>
    /// <param name="write">Writes and flushes the file of the given path.</param>
    public void Add(string name, Action<string> write)
    {
        lock (gate)
        {
            if (closed) throw new OperationCanceledException(cancellation);
            string final = Path.Combine(FullPath, name);
            string temporary = Path.Combine(FullPath, $".{Guid.NewGuid():n}.tmp");
            files.Add((temporary, final));
            try
            {
                write(temporary);
            }
            catch (IOException e)
            {
                throw new CommandException($"cannot write {final}: {e.Message}");
            }
        }
    }

    /// <summary>Gives all files their names.</summary>
    /// <returns>Their paths, in the order in which they were added.</returns>
    public IReadOnlyList<string> Commit()
    {
        lock (gate)
        {
            if (closed) throw new OperationCanceledException(cancellation);
            foreach ((string temporary, string final) in files) File.Move(temporary, final, overwrite: true);
            closed = true;
            return [.. files.Select(f => f.Final)];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        registration.Dispose();
        Abandon();
    }

    private void Make(string folder)
    {
        if (Directory.Exists(folder)) return;
        if (Path.GetDirectoryName(folder) is { } parent) Make(parent);
        Directory.CreateDirectory(folder);
        madeFolders.Add(folder);
    }

    private void Abandon()
    {
        lock (gate)
        {
            if (closed) return;
            closed = true;
            foreach ((string temporary, _) in files) Quietly(() => File.Delete(temporary));
            // fails where another program put a file
            foreach (string folder in madeFolders.AsEnumerable().Reverse()) Quietly(() => Directory.Delete(folder));
        }
    }

    private static void Quietly(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }
}
