using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A run's state as a safetensors file, with its SHA-256 beside it in the form that <c>sha256sum -c</c> reads. The checksum is there
/// before the file gets its name, so that a file without one, or with another, is a damaged one.
/// </summary>
/// <param name="Step">Steps done.</param>
/// <param name="Window">What the log has not told yet.</param>
/// <param name="Images">Checksum of the images' identity.</param>
/// <param name="Settings">
/// The settings that decide what the run's steps compute (<see cref="RunIdentity"/>); null in files of earlier versions.
/// </param>
public sealed record RunCheckpoint(long Step, LogWindow Window, string Images, string? Settings)
{
    private const int MaxSumBytes = 1 << 12;
    private const string StepKey = "rawdiffusion.step", WindowKey = "rawdiffusion.log_window", ImagesKey = "rawdiffusion.images";
    private const string SettingsKey = "rawdiffusion.settings";

    /// <summary>Writes the file: whole or not at all.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="trainer">Its state is written.</param>
    /// <param name="metadata">What the file is to say of the network besides.</param>
    /// <exception cref="IOException">It cannot be written; what was there stays.</exception>
    /// <exception cref="NonFiniteStateException">The state must not be saved.</exception>
    public void Write(string path, Trainer trainer, IReadOnlyDictionary<string, string> metadata)
    {
        string next = path + ".new";
        try
        {
            SafeTensors.Write(next, trainer.State(), new Dictionary<string, string>(metadata)
            {
                [StepKey] = Step.ToString(CultureInfo.InvariantCulture),
                [WindowKey] = Window.ToString(),
                [ImagesKey] = Images,
                [SettingsKey] = Settings ?? throw new InvalidOperationException("a checkpoint says whose it is"),
            });
            string hash = HashOf(next);
            AtomicFile.Write(SumOf(path), stream => stream.Write(Encoding.UTF8.GetBytes($"{hash}  {Path.GetFileName(path)}\n")));
            File.Move(next, path, overwrite: true);
        }
        catch
        {
            File.Delete(next);
            throw;
        }
    }

    /// <summary>Reads a file into a trainer.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="trainer">Gets the state.</param>
    /// <param name="settings">Those of the run that goes on; a file without any is taken for its own.</param>
    /// <exception cref="FileFormatException">The file is damaged, or another network's.</exception>
    /// <exception cref="TrainingException">It is another run's.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static RunCheckpoint Read(string path, Trainer trainer, string settings)
    {
        if (!File.Exists(SumOf(path))) throw new FileFormatException($"{path} has no checksum beside it");
        string expected = Encoding.UTF8.GetString(RegularFile.ReadAllBytes(SumOf(path), MaxSumBytes)).Split(' ')[0], found = HashOf(path);
        if (expected != found)
        {
            throw new FileFormatException(
                $"{path} is damaged: its SHA-256 should begin with {expected[..Math.Min(12, expected.Length)]}, found {found[..12]}");
        }
        using TensorFile file = SafeTensors.Open(path);
        string? told = file.Metadata.GetValueOrDefault(SettingsKey);
        if (told is not null && RunIdentity.Difference(told, settings) is { } difference)
        {
            throw new TrainingException(
                $"{path} is of another run than config.json: {difference}; take it out of the folder, or put the right config.json there");
        }
        foreach ((string name, Tensor tensor) in trainer.State())
        {
            if (!file.TryGet(name, out Tensor? saved) || !saved.Shape.SequenceEqual(tensor.Shape))
            {
                throw new FileFormatException($"{path} is not of the network that config.json describes: expected {name} "
                    + $"[{string.Join(", ", tensor.Shape)}], found {(saved is null ? "none" : $"[{string.Join(", ", saved.Shape)}]")}");
            }
        }
        if (!long.TryParse(file.Metadata.GetValueOrDefault(StepKey), NumberStyles.None, CultureInfo.InvariantCulture, out long step))
            throw new FileFormatException($"{path}: expected a step in its metadata, found '{file.Metadata.GetValueOrDefault(StepKey)}'");
        trainer.Restore(file, step);
        return new RunCheckpoint(step, LogWindow.Parse(file.Metadata.GetValueOrDefault(WindowKey) ?? ""),
            file.Metadata.GetValueOrDefault(ImagesKey) ?? "", told);
    }

    /// <summary>Deletes a file and its checksum.</summary>
    public static void Delete(string path)
    {
        File.Delete(path);
        File.Delete(SumOf(path));
    }

    private static string SumOf(string path) => path + ".sha256";

    private static string HashOf(string path)
    {
        using FileStream stream = RegularFile.OpenStream(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
