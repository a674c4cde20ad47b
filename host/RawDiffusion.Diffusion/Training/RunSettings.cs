using System.Globalization;
using System.Text.Json;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Training;

/// <summary>What a setting's value looks like.</summary>
public enum SettingKind
{
    /// <summary>A number.</summary>
    Number,

    /// <summary>On or off.</summary>
    Switch,

    /// <summary>Numbers with commas between them.</summary>
    Numbers,

    /// <summary>Text.</summary>
    Text,
}

/// <summary>A member of <see cref="RunConfig"/> by name, as text: what a flag or a member of a JSON file sets.</summary>
/// <param name="Name">As in <c>config.json</c>: <c>num_channels</c>.</param>
/// <param name="Kind">What values look like.</param>
/// <param name="Description">For help.</param>
/// <param name="Get">The value as text; null where it is left out.</param>
/// <param name="Set">The configuration with another value; <see cref="FormatException"/> says what values there are.</param>
public sealed record RunSetting(
    string Name, SettingKind Kind, string Description, Func<RunConfig, string?> Get, Func<RunConfig, string, RunConfig> Set)
{
    /// <summary>Name of the flag: <c>--num-channels</c>.</summary>
    public string Flag => $"--{Name.Replace('_', '-')}";
}

/// <summary>All settings of a run: the one table from which flags, JSON files and <c>config.json</c> come.</summary>
public static class RunSettings
{
    private const double Unbounded = double.PositiveInfinity;

    /// <summary>All, in the order of <c>config.json</c>.</summary>
    public static IReadOnlyList<RunSetting> All { get; } =
    [
        Text("data", "Images to train with", c => c.Data.Length > 0 ? c.Data : null, (c, v) => c with { Data = v }),
        Text("base", $"The authors' folder of data sets, for these names: {string.Join(", ", AuthorsLayouts.Names)}",
        c => c.Images.BaseFolder, (c, v) => c with { Images = c.Images with { BaseFolder = v } }),
        Crop(),
        Choice("orientation", "Whether pictures are turned upright as their EXIF data says, or left as stored [default: exif]",
        ["exif", "raw"],
            c => c.Images.Orientation == ImageOrientation.Raw ? "raw" : "exif",
            (c, v) => c with { Images = c.Images with { Orientation = v == "raw" ? ImageOrientation.Raw : ImageOrientation.Exif } }),
        Integer("start", 0, "First image to use [default: 0]", c => c.Images.Start,
        (c, v) => c with { Images = c.Images with { Start = v } }),
        Integer("count", 1, "Number of images to use [default: all]", c => c.Images.Count,
        (c, v) => c with { Images = c.Images with { Count = v } }),
        Switch("strict", "Stop at an image that cannot be read, instead of skipping it", c => c.Strict, (c, v) => c with { Strict = v }),
        Text("cache", "Folder for decoded images, kept where a run reads them more than once; off for none [default: rawdiffusion/images "
        + "in the user's cache folder]", c => c.Cache, (c, v) => c with { Cache = v }),

        Integer("image_size", 1, "Width and height of the network's images [default: the set's own, else 64]", c => c.ImageSize,
            (c, v) => c with { ImageSize = v }),
        Integer("num_channels", 1, "Base width of the U-Net [default: 64]", c => c.Network.Channels,
        (c, v) => c with { Network = c.Network with { Channels = v } }),
        Integers("channel_mult", "Width of each level as a multiple of it [default: 1,2,3]", c => c.Network.ChannelMult,
        (c, v) => c with { Network = c.Network with { ChannelMult = v } }),
        Integer("num_res_blocks", 1, "Residual blocks of a level [default: 2]", c => c.Network.NumResBlocks,
        (c, v) => c with { Network = c.Network with { NumResBlocks = v } }),
        Integer("emb_dim", 2, "Width of what conditions a block: latent and timestep, half each [default: 256]", c => c.Network.EmbDim,
        (c, v) => c with { Network = c.Network with { EmbDim = v } }),
        Integer("enc_channels", 1, "Width of the latent encoder's first convolution [default: 64]", c => c.Network.EncChannels,
        (c, v) => c with { Network = c.Network with { EncChannels = v } }),
        Integer("num_components", 1, "K: factors of an image [default: 4]", c => c.Network.NumComponents,
        (c, v) => c with { Network = c.Network with { NumComponents = v } }),
        Integers("attention_resolutions", "Widths of feature maps that have attention [default: 32,16,8]", c => c.AttentionResolutions,
        (c, v) => c with { AttentionResolutions = v }),
        Integer("num_heads", 1, "Attention heads of every block", c => c.Network.NumHeads,
        (c, v) => c with { Network = c.Network with { NumHeads = v, NumHeadChannels = null } }),
        Integer("num_head_channels", 1, "Channels of an attention head [default: 64]", c => c.Network.NumHeadChannels,
        (c, v) => c with { Network = c.Network with { NumHeadChannels = v, NumHeads = null } }),
        Switch("scale_shift_norm", "The embedding scales and shifts norms instead of being added", c => c.Network.UseScaleShiftNorm,
        (c, v) => c with { Network = c.Network with { UseScaleShiftNorm = v } }),
        Switch("resblock_updown", "Residual blocks change the resolution, instead of convolutions [default: on]",
        c => c.Network.ResBlockUpDown, (c, v) => c with { Network = c.Network with { ResBlockUpDown = v } }),
        Text("init", "Checkpoint to begin with; its network is then the default [default: random weights]", c => c.Init,
        (c, v) => c with { Init = v }),

        Training("batch", 1, "Images of a step [default: 16]", t => t.BatchSize, (t, v) => t with { BatchSize = v }),
        Training("accumulate", 1, "Parts into which a step is split to save memory [default: 1]", t => t.Accumulate,
        (t, v) => t with { Accumulate = v }),
        Training("steps", 1, "Steps of the whole run [default: 100000]", t => t.Steps, (t, v) => t with { Steps = v }),
        Training("lr", 0, Unbounded, "Learning rate after the warm-up [default: 0.001]", t => t.LearningRate,
        (t, v) => t with { LearningRate = v }),
        Training("warmup", 0, "Steps over which the rate rises from zero [default: 0]", t => t.Warmup, (t, v) => t with { Warmup = v }),
        Choice("decay", "What the rate does then", ["none", "cosine", "linear"], c => c.Training.Decay.ToString().ToLowerInvariant(),
        (c, v) => c with { Training = c.Training with { Decay = Enum.Parse<RateDecay>(v, ignoreCase: true) } }),
        Adam("beta1", 0, 1, "Decay of Adam's mean of gradients [default: 0.9]", a => a.Beta1, (a, v) => a with { Beta1 = v }),
        Adam("beta2", 0, 1, "Decay of Adam's mean of their squares [default: 0.999]", a => a.Beta2, (a, v) => a with { Beta2 = v }),
        Adam("epsilon", 0, Unbounded, "Added to the root of that mean [default: 1e-8]", a => a.Epsilon, (a, v) => a with { Epsilon = v }),
        Adam("weight_decay", 0, Unbounded, "Pull of parameters to zero [default: 0]", a => a.WeightDecay,
        (a, v) => a with { WeightDecay = v }),
        Switch("adamw", "The pull bypasses Adam's means", c => c.Training.Adam.Decoupled,
        (c, v) => c with { Training = c.Training with { Adam = c.Training.Adam with { Decoupled = v } } }),
        Adam("clip_norm", 0, Unbounded, "Largest norm of all gradients together [default: none]", a => a.MaxNorm,
        (a, v) => a with { MaxNorm = v }),
        Training("ema", 0, 1, "Largest decay of the parameters' moving average [default: 0.9999]", t => t.EmaRate,
        (t, v) => t with { EmaRate = v }),
        Choice("predict", "What the network predicts", Predictions.Names, c => c.Training.Predicts.Name(),
        (c, v) => c with { Training = c.Training with { Predicts = Predictions.Named(v) } }),
        Switch("downweight", "Later timesteps count less", c => c.Training.Downweight,
        (c, v) => c with { Training = c.Training with { Downweight = v } }),
        Switch("latent_orthog", "Punish alike latents of an image's factors", c => c.Training.LatentOrthogonality,
        (c, v) => c with { Training = c.Training with { LatentOrthogonality = v } }),
        Training("p_uncond", 0, 1, "Share of images whose latents are dropped, for guidance [default: 0]", t => t.UnconditionalProbability,
        (t, v) => t with { UnconditionalProbability = v }),
        Training("dropout", 0, 0.999, "Share of activations that each residual block drops; the authors' scripts drop 0.1 [default: 0]",
        t => t.Dropout, (t, v) => t with { Dropout = v }),
        Choice("schedule", "Noise schedule", ["squaredcos", "linear"], c => c.Schedule, (c, v) => c with { Schedule = v }),
        Integer("diffusion_steps", 1, "Steps of the diffusion process [default: 1000]", c => c.DiffusionSteps,
        (c, v) => c with { DiffusionSteps = v }),
        Training("seed", 0, "Seed of all random numbers [default: 0]", t => (int)t.Seed, (t, v) => t with { Seed = (uint)v }),

        Integer("save_every", 1, "Steps between two checkpoints [default: 1000]", c => c.SaveEvery, (c, v) => c with { SaveEvery = v }),
        Integer("log_every", 1, "Steps between two lines of the log [default: 50]", c => c.LogEvery, (c, v) => c with { LogEvery = v }),
        Integer("sample_every", 0, "Steps between two sheets of samples; 0 for none [default: 1000]", c => c.SampleEvery,
        (c, v) => c with { SampleEvery = v }),
        Integer("keep", 1, "Checkpoints that are kept [default: 3]", c => c.Keep, (c, v) => c with { Keep = v }),
        Choice("device", "Where to compute", ["auto", "cpu", "cuda", "emulated"], c => c.Device, (c, v) => c with { Device = v }),
        Choice("precision", "Storage and operands; the cpu device has fp32", ["fp32", "tf32", "bf16", "fp16"], c => c.Precision,
        (c, v) => c with { Precision = v }),
        Integer("threads", 1, "CPU threads [default: one for each core]", c => c.Threads, (c, v) => c with { Threads = v }, 1024),
        Switch("recompute", "Compute what gradients read again instead of keeping it: less memory", c => c.Recompute,
        (c, v) => c with { Recompute = v }),
        Switch("guard", "Look for NaN and infinity after every kernel; slow", c => c.Guard, (c, v) => c with { Guard = v }),
    ];

    /// <summary>The setting of that name, as a flag or as a member of a JSON file.</summary>
    public static RunSetting Named(string name) => All.Single(s => s.Name == name);

    /// <summary>The text for a JSON value.</summary>
    /// <exception cref="FormatException">An object, or an array of something else than numbers.</exception>
    public static string TextOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.True => "on",
        JsonValueKind.False => "off",
        JsonValueKind.Array => string.Join(',', value.EnumerateArray().Select(TextOf)),
        _ => throw new FormatException($"a number, text, true, false or an array of numbers, found {value.GetRawText()}"),
    };

    private static RunSetting Text(string name, string description, Func<RunConfig, string?> get, Func<RunConfig, string, RunConfig> set) =>
        new(name, SettingKind.Text, description, get, (c, v) => v.Length > 0 ? set(c, v) : throw new FormatException("text, found none"));

    private static RunSetting Choice(
        string name, string description, IReadOnlyList<string> words, Func<RunConfig, string> get,
        Func<RunConfig, string, RunConfig> set) =>
        new(name, SettingKind.Text, $"{description} ({string.Join('|', words)})", get,
            (c, v) => words.Contains(v) ? set(c, v)
            : throw new FormatException($"{string.Join(", ", words.SkipLast(1))} or {words[^1]}, found '{v}'"));

    private static RunSetting Switch(string name, string description, Func<RunConfig, bool> get, Func<RunConfig, bool, RunConfig> set) =>
        new(name, SettingKind.Switch, description, c => get(c) ? "on" : "off",
            (c, v) => v is "on" or "off" ? set(c, v == "on") : throw new FormatException($"on or off, found '{v}'"));

    private static RunSetting Integer(
        string name, int min, string description, Func<RunConfig, int?> get, Func<RunConfig, int, RunConfig> set, int max = int.MaxValue) =>
        new(name, SettingKind.Number, description, c => get(c)?.ToString(CultureInfo.InvariantCulture),
        (c, v) => set(c, ParseInteger(v, min, max)));

    private static RunSetting Integers(
        string name, string description, Func<RunConfig, IReadOnlyList<int>> get, Func<RunConfig, int[], RunConfig> set) =>
        new(name, SettingKind.Numbers, description, c => string.Join(',', get(c).Select(v => v.ToString(CultureInfo.InvariantCulture))),
            (c, v) => set(c, v.Length == 0 ? [] : [.. v.Split(',').Select(part => ParseInteger(part, 1, int.MaxValue))]));

    private static RunSetting Number(
        string name, double min, double max, string description, Func<RunConfig, double?> get, Func<RunConfig, double, RunConfig> set) =>
        new(name, SettingKind.Number, description, c => get(c)?.ToString("R", CultureInfo.InvariantCulture), (c, v) =>
            double.TryParse(v, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && float.IsFinite((float)value)
            && value >= min && value <= max
                ? set(c, value)
                : throw new FormatException(
                $"a number{(max == Unbounded ? $" of at least {min}" : $" from {min} to {max}")}, found '{v}'"));

    private static RunSetting Training(
        string name, int min, string description, Func<TrainingOptions, int> get, Func<TrainingOptions, int, TrainingOptions> set) =>
        Integer(name, min, description, c => get(c.Training), (c, v) => c with { Training = set(c.Training, v) });

    private static RunSetting Training(string name, double min, double max, string description,
        Func<TrainingOptions, double> get, Func<TrainingOptions, double, TrainingOptions> set) =>
        Number(name, min, max, description, c => get(c.Training), (c, v) => c with { Training = set(c.Training, v) });

    private static RunSetting Adam(string name, double min, double max, string description,
        Func<AdamOptions, double?> get, Func<AdamOptions, double, AdamOptions> set) =>
        Number(name, min, max, description, c => get(c.Training.Adam),
        (c, v) => c with { Training = c.Training with { Adam = set(c.Training.Adam, v) } });

    private static RunSetting Crop() =>
        new("crop", SettingKind.Numbers, "Part of each picture to use: X,Y,W,H in pixels; 0 for W or H is up to the edge",
        c => c.Images.Crop?.ToString(), (c, v) => c with { Images = c.Images with { Crop = ImageCrop.Parse(v) } });

    private static int ParseInteger(string text, int min, int max) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max
            ? value
            : throw new FormatException(
            $"a whole number {(max == int.MaxValue ? $"of at least {min}" : $"from {min} to {max}")}, found '{text}'");
}
