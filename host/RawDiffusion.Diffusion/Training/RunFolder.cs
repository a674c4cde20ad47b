using System.Globalization;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A run's folder: <c>config.json</c>, <c>environment.json</c>, <c>log.jsonl</c>, <c>model.safetensors</c>,
/// <c>checkpoints/step-N.safetensors</c> and <c>samples/step-N.png</c>. It belongs to one process at a time.
/// </summary>
public sealed class RunFolder : IDisposable
{
    private const string LockName = ".lock", Prefix = "step-";

    private readonly FileStream owner;

    private RunFolder(string path)
    {
        FullPath = Path.GetFullPath(path);
        Directory.CreateDirectory(FullPath);
        try
        {
            // The system gives the lock back however the process ends.
            owner = new FileStream(Path.Combine(FullPath, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (File.Exists(Path.Combine(FullPath, LockName)))
        {
            throw new TrainingException($"{path} belongs to a process that is still training, or cannot be written to: {e.Message}", e);
        }
    }

    /// <summary>Full path of the run's folder.</summary>
    public string FullPath { get; }

    /// <summary>Path of the run's settings in JSON.</summary>
    public string Config => Path.Combine(FullPath, "config.json");

    /// <summary>Where and how the run was begun and gone on with.</summary>
    public string Environment => Path.Combine(FullPath, "environment.json");

    /// <summary>A JSON object on each line.</summary>
    public string Log => Path.Combine(FullPath, "log.jsonl");

    /// <summary>The averaged weights as of the newest checkpoint.</summary>
    public string Model => Path.Combine(FullPath, "model.safetensors");

    private string Checkpoints => Path.Combine(FullPath, "checkpoints");

    private string Samples => Path.Combine(FullPath, "samples");

    /// <summary>Makes a folder, or takes an empty one.</summary>
    /// <exception cref="TrainingException">There is something in it.</exception>
    /// <exception cref="IOException">It cannot be written to.</exception>
    public static RunFolder Create(string path)
    {
        if (File.Exists(path)) throw new TrainingException($"expected a folder for the run at {path}, found a file");
        if (Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any(e => Path.GetFileName(e) != LockName))
        {
            string advice = File.Exists(Path.Combine(path, "config.json")) ? "resume the run that is there, or name another folder"
                : "name another folder";
            throw new TrainingException($"expected an empty folder for the run at {path}, found files in it: {advice}");
        }
        var folder = new RunFolder(path);
        Directory.CreateDirectory(folder.Checkpoints);
        Directory.CreateDirectory(folder.Samples);
        return folder;
    }

    /// <summary>Takes the folder of a run that began, and removes what was left half-written.</summary>
    /// <exception cref="TrainingException">No run began there, or it is not over.</exception>
    public static RunFolder Open(string path)
    {
        if (!File.Exists(Path.Combine(path, "config.json")))
        {
            throw new TrainingException(
                $"expected the folder of a run at {path}, found no config.json in it: name the folder of a run that has begun");
        }

        var folder = new RunFolder(path);
        Directory.CreateDirectory(folder.Checkpoints);
        Directory.CreateDirectory(folder.Samples);
        foreach (string file in (string[])[folder.FullPath, folder.Checkpoints, folder.Samples])
            foreach (string leftover in Directory.GetFiles(file, "*.tmp").Concat(Directory.GetFiles(file, "*.new"))) File.Delete(leftover);
        return folder;
    }

    /// <summary>The checkpoint of a step.</summary>
    public string Checkpoint(long step) =>
        Path.Combine(Checkpoints, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step}.safetensors"));

    /// <summary>The sheet of samples of a step.</summary>
    public string Sample(long step) => Path.Combine(Samples, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step}.png"));

    /// <summary>Steps that there are checkpoints of, ascending.</summary>
    public IReadOnlyList<long> Steps() =>
        [.. Directory.GetFiles(Checkpoints, $"{Prefix}*.safetensors").Select(StepOf).OfType<long>().Order()];

    /// <summary>Deletes all but the newest checkpoints up to a step.</summary>
    public void Prune(long step, int keep)
    {
        foreach (long old in Steps().Where(s => s <= step).SkipLast(keep)) RunCheckpoint.Delete(Checkpoint(old));
    }

    /// <inheritdoc/>
    public void Dispose() => owner.Dispose();

    private static long? StepOf(string path) =>
        long.TryParse(Path.GetFileNameWithoutExtension(path)[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture,
        out long step) ? step : null;
}
