using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// All that decides a training run, and how it is kept: what <c>config.json</c> of a run folder holds. Members are reached by name
/// through <see cref="RunSettings"/>. Defaults are the authors'.
/// </summary>
public sealed record RunConfig
{
    /// <summary>The <see cref="Cache"/> that is none.</summary>
    public const string NoCache = "off";

    /// <summary>What <see cref="ImageSets.Open"/> calls the images; empty where none are named.</summary>
    public string Data { get; init; } = "";

    /// <summary>Which of them, and how they are read. Its size is the network's.</summary>
    public ImageSetOptions Images { get; init; } = new();

    /// <summary>Whether an image that cannot be read ends the run.</summary>
    public bool Strict { get; init; }

    /// <summary>Folder for images that were decoded; "off" for none, null for the user's cache folder (<see cref="UserCache"/>).</summary>
    public string? Cache { get; init; }

    /// <summary>The network, but for its image size and the places of its attention.</summary>
    public UNetConfig Network { get; init; } = Presets.Default;

    /// <summary>S; null for the set's own.</summary>
    public int? ImageSize { get; init; }

    /// <summary>Widths of feature maps that have attention, in pixels; those that the network does not have are left out.</summary>
    public IReadOnlyList<int> AttentionResolutions { get; init; } = [32, 16, 8];

    /// <summary>A checkpoint to begin with; null for random weights.</summary>
    public string? Init { get; init; }

    /// <summary>What a step computes.</summary>
    public TrainingOptions Training { get; init; } = new();

    /// <summary>Name of the noise schedule.</summary>
    public string Schedule { get; init; } = "squaredcos";

    /// <summary>T.</summary>
    public int DiffusionSteps { get; init; } = 1000;

    /// <summary>Steps between two checkpoints.</summary>
    public int SaveEvery { get; init; } = 1000;

    /// <summary>Steps between two lines of the log.</summary>
    public int LogEvery { get; init; } = 50;

    /// <summary>Steps between two sheets of samples; 0 for none.</summary>
    public int SampleEvery { get; init; } = 1000;

    /// <summary>Checkpoints that are kept.</summary>
    public int Keep { get; init; } = 3;

    /// <summary>Name of the device, for whoever opens it.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Name of the precision, for whoever opens the device.</summary>
    public string Precision { get; init; } = "fp32";

    /// <summary>CPU threads; null for one for each core. No result depends on it.</summary>
    public int? Threads { get; init; }

    /// <summary>Whether every kernel's output is looked through for NaN and infinity.</summary>
    public bool Guard { get; init; }

    /// <summary>Whether what gradients read is computed again instead of being kept: less memory, the same results.</summary>
    public bool Recompute { get; init; }

    /// <summary>The settings that describe a network, with those of this run for all else.</summary>
    public RunConfig WithNetwork(UNetConfig network) => this with
    {
        Network = network,
        ImageSize = network.ImageSize,
        AttentionResolutions = [.. network.AttentionDownsamples.Select(d => network.ImageSize / d)],
    };

    /// <summary>The whole architecture.</summary>
    /// <param name="imageSize">S where the settings leave it to the set.</param>
    /// <exception cref="CheckpointException">There is no such network.</exception>
    public UNetConfig NetworkFor(int imageSize)
    {
        int size = ImageSize ?? imageSize;
        var downsamples = new SortedSet<int>();
        foreach (int resolution in AttentionResolutions)
        {
            int factor = resolution < 1 || size % resolution != 0 ? 0 : size / resolution;
            if (!int.IsPow2(factor))
            {
                throw new CheckpointException(
                    $"attention-resolutions are widths of feature maps, {size} and its halves, found {resolution}");
            }

            if (factor < 1 << Network.ChannelMult.Count) downsamples.Add(factor);
        }
        UNetConfig network = Network with { ImageSize = size, AttentionDownsamples = [.. downsamples] };
        if (network.ChannelMult.Count == 1) network = network with { ResBlockUpDown = false };
        network.Validate();
        return network;
    }

    /// <summary>The diffusion process.</summary>
    /// <exception cref="ArgumentException">There is none of that name, or not with as few steps.</exception>
    public GaussianDiffusion Diffusion() => new(BetaSchedule.Named(Schedule, DiffusionSteps));

    /// <summary>Opens the images; the caller disposes them.</summary>
    /// <exception cref="ArgumentException">An option does not fit.</exception>
    /// <exception cref="IOException">There are none.</exception>
    public ImageSet OpenImages() => ImageSets.Open(Data, Images with { Size = ImageSize, Seed = Training.Seed, Strict = Strict });

    /// <summary>
    /// Folder for images of a set that are decoded once; null where the run reads each once at most, or they are not decoded at all.
    /// </summary>
    /// <param name="set">Images to take batches from.</param>
    /// <param name="world">Processes that train together.</param>
    public string? CacheFor(ImageSet set, int world) =>
        Cache == NoCache || !set.IsDecoded || (long)Training.Steps * Training.BatchSize * world <= set.Count ? null
        : Cache ?? UserCache.Folder("images");
}
