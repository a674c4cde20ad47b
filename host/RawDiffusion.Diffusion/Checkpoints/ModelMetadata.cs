using System.Globalization;
using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>What files that this project writes carry beside their tensors.</summary>
public static class ModelMetadata
{
    /// <summary>Whether the weights were trained: <c>true</c> or <c>false</c>.</summary>
    public const string Trained = "rawdiffusion.trained";

    /// <summary>Pixels a side.</summary>
    public const string ImageSize = "rawdiffusion.image_size";

    /// <summary>Attention heads of every block.</summary>
    public const string NumHeads = "rawdiffusion.num_heads";

    /// <summary>Channels of an attention head.</summary>
    public const string NumHeadChannels = "rawdiffusion.num_head_channels";

    /// <summary>Name of the noise schedule of training.</summary>
    public const string Schedule = "rawdiffusion.schedule";

    /// <summary>Steps of the diffusion process of training.</summary>
    public const string DiffusionSteps = "rawdiffusion.diffusion_steps";

    /// <summary>What the network was trained to predict: <c>xstart</c>, <c>eps</c> or <c>v</c>.</summary>
    public const string Predict = "rawdiffusion.predict";

    /// <summary>What shapes cannot tell about an architecture, to be found again when the file is opened.</summary>
    public static Dictionary<string, string> Of(UNetConfig config)
    {
        Dictionary<string, string> metadata = new() { [ImageSize] = Text(config.ImageSize) };
        if (config.NumHeads is int heads) metadata[NumHeads] = Text(heads);
        if (config.NumHeadChannels is int channels) metadata[NumHeadChannels] = Text(channels);
        return metadata;

        static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>What a file says that shapes cannot tell.</summary>
    public static ArchitectureOverrides Overrides(IReadOnlyDictionary<string, string> metadata) =>
        new(Integer(metadata, ImageSize), Integer(metadata, NumHeads), Integer(metadata, NumHeadChannels));

    /// <summary>The noise schedule of training; that of the published models where the file does not say.</summary>
    public static string ScheduleOf(IReadOnlyDictionary<string, string> metadata) => metadata.GetValueOrDefault(Schedule) ?? "squaredcos";

    /// <summary>Steps of the diffusion process of training; those of the published models where the file does not say.</summary>
    public static int DiffusionStepsOf(IReadOnlyDictionary<string, string> metadata) => Integer(metadata, DiffusionSteps) ?? 1000;

    /// <summary>What the network was trained to predict; as the published models where the file does not say.</summary>
    public static string PredictOf(IReadOnlyDictionary<string, string> metadata) => metadata.GetValueOrDefault(Predict) ?? "xstart";

    /// <summary>Whether a file's weights were trained; files that do not say are taken to be.</summary>
    public static bool IsTrained(IReadOnlyDictionary<string, string> metadata) => metadata.GetValueOrDefault(Trained) != "false";

    /// <summary>A whole number of the metadata, or null.</summary>
    public static int? Integer(IReadOnlyDictionary<string, string> metadata, string key) =>
        int.TryParse(metadata.GetValueOrDefault(key), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;
}
