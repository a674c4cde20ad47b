using System.Text.Json;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A run of several processes. The first leads: it has the run's folder, and tells the others the settings and the state; before
/// each step all agree that there is one. The others compute their parts of steps, and write nothing.
/// </summary>
public static class TrainingRanks
{
    /// <summary>Gives all processes the settings of the first.</summary>
    /// <param name="ranks">Processes that train together; null for one.</param>
    /// <param name="own">The settings, in the first process.</param>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    public static RunConfig Share(ICommunicator ranks, RunConfig? own)
    {
        byte[] text = own is null ? [] : JsonSerializer.SerializeToUtf8Bytes(
            RunSettings.All.Select(s => KeyValuePair.Create(s.Name, s.Get(own))).Where(s => s.Value is not null).ToDictionary());
        byte[] length = BitConverter.GetBytes(text.Length);
        ranks.Broadcast(length, 0);
        if (own is null) text = new byte[BitConverter.ToInt32(length)];
        ranks.Broadcast(text, 0);
        return own ?? JsonSerializer.Deserialize<Dictionary<string, string>>(text)!
            .Aggregate(new RunConfig(), (config, setting) => RunSettings.Named(setting.Key).Set(config, setting.Value));
    }

    /// <summary>The images of a run with their cache, which the first process makes before the others look for it.</summary>
    /// <param name="config">The settings.</param>
    /// <param name="ranks">The processes; null for one.</param>
    /// <param name="set">The images. The result owns them.</param>
    /// <param name="open">Opens or makes the cache in a folder: <see cref="CachedSet.Of"/>.</param>
    /// <exception cref="IOException">The processes can no longer reach each other.</exception>
    public static ImageSet Cached(RunConfig config, ICommunicator? ranks, ImageSet set, Func<ImageSet, string, ImageSet> open)
    {
        if (ranks is { Rank: > 0 }) GoesOn(ranks, true);
        ImageSet cached = config.CacheFor(set, ranks?.Size ?? 1) is { } folder ? open(set, folder) : set;
        if (ranks is { Rank: 0 }) GoesOn(ranks, true);
        return cached;
    }

    /// <summary>Computes this process's parts of all steps, until the first process ends the run.</summary>
    /// <param name="config">The settings.</param>
    /// <param name="device">Device that knows of the processes.</param>
    /// <param name="set">Images to take batches from.</param>
    /// <param name="ranks">The processes, of which this one is not the first.</param>
    /// <exception cref="TrainingException">The images are not those of the first process.</exception>
    /// <exception cref="Formats.FileFormatException">An image cannot be read in a strict run.</exception>
    /// <param name="stop">Asks all processes to stop, as the first process's signals do.</param>
    public static void Follow(RunConfig config, IDevice device, ImageSet set, ICommunicator ranks, CancellationToken stop = default)
    {
        using var trainer = new Trainer(device, config.NetworkFor(set.Size), config.Diffusion(), OptionsOf(config, ranks),
            new CompileOptions { Guard = config.Guard, Recompute = config.Recompute });
        Meet(ranks, trainer, set);
        using ImageLoader loader = LoaderOf(config, set, ranks, trainer.Step, null);
        float[] batch = new float[loader.Length];
        while (GoesOn(ranks, !stop.IsCancellationRequested))
        {
            loader.Next(batch);
            trainer.Run(batch);
        }
    }

    /// <summary>The options of this process's steps.</summary>
    internal static TrainingOptions OptionsOf(RunConfig config, ICommunicator? ranks) =>
        config.Training with { Rank = ranks?.Rank ?? 0, World = ranks?.Size ?? 1, LossScaling = config.Precision == "fp16" };

    /// <summary>Loads this process's images.</summary>
    internal static ImageLoader LoaderOf(RunConfig config, ImageSet set, ICommunicator? ranks, long step, Action<string>? warn) =>
        new(set, new LoaderOptions(config.Training.BatchSize)
        {
            Seed = config.Training.Seed,
            Strict = config.Strict,
            Rank = ranks?.Rank ?? 0,
            World = ranks?.Size ?? 1,
            Warn = warn,
        }, step);

    /// <summary>Before the first step: the same images, then the same state.</summary>
    internal static void Meet(ICommunicator ranks, Trainer trainer, ImageSet set)
    {
        byte[] own = Convert.FromHexString(set.Fingerprint), first = [.. own];
        ranks.Broadcast(first, 0);
        if (!own.SequenceEqual(first))
        {
            throw new TrainingException(
                $"expected the images of the first process, found others in {set.Name}: all processes must see the same files");
        }
        trainer.Share(ranks);
    }

    /// <summary>Whether there is another step: the first process knows the last, and each may have been asked to stop.</summary>
    /// <param name="ranks">The processes; null for one.</param>
    /// <param name="goes">Whether this one goes on.</param>
    internal static bool GoesOn(ICommunicator? ranks, bool goes)
    {
        if (ranks is null) return goes;
        if (ranks.Gather(goes ? 1 : 0).All(word => word[0] == 1)) return true;
        // Whoever leaves frees what a slower one may still read.
        ranks.Gather(0);
        return false;
    }
}
