using System.CommandLine;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data.Procedural;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Options;

/// <summary>
/// A flag for each setting of a run, and what they are added to: a file, a published architecture, a checkpoint's network.
/// </summary>
internal sealed class RunOptions
{
    private readonly (RunSetting Setting, Option<string?> Option)[] flags = [.. RunSettings.All.Select(s => (s, FlagOf(s)))];
    private readonly Option<string?> file = OptionOf.Text(
        "--config", "FILE", "Settings in JSON, as in a run's config.json; flags come on top");
    private readonly Option<string?> preset = OptionOf.Text(
        "--preset", "NAME", $"Published architecture ({string.Join("|", Presets.Names)}); flags come on top");

    public void AddTo(Command command)
    {
        command.Options.Add(file);
        command.Options.Add(preset);
        foreach ((_, Option<string?> option) in flags) command.Options.Add(option);
    }

    /// <summary>The settings of a new run.</summary>
    /// <exception cref="UsageException">No data is named, or flags do not go together.</exception>
    /// <exception cref="FileFormatException">The file cannot be used.</exception>
    public RunConfig Config(ParseResult result)
    {
        (string? path, string? name) = (result.GetValue(file), result.GetValue(preset));
        if (path is not null) InputFile.Require(path, "settings");
        RunConfig config = path is null ? new RunConfig() : RunConfigFile.Read(path);
        if (name is not null) config = config.WithNetwork(UsageException.Guard(() => Presets.Get(name)));
        if (Given(result, "num_heads") is not null && Given(result, "num_head_channels") is not null)
            throw new UsageException("give either --num-heads or --num-head-channels, not both");
        if (Given(result, "init") is { } init) config = config.WithNetwork(NetworkOf(result, init));
        foreach ((RunSetting setting, _) in flags)
            if (Given(result, setting.Name) is { } text) config = setting.Set(config, text);
        if (config.Data.Length == 0)
        {
            throw new UsageException(
                "expected images to train with: --data takes a folder, a pattern or the name of a set (see rawdiffusion train --help)");
        }
        return Absolute(Checked(config));
    }

    /// <summary>The settings of a run that goes on, with the flags that may change.</summary>
    /// <exception cref="UsageException">A flag may not.</exception>
    public RunConfig Config(ParseResult result, RunFolder folder)
    {
        RunConfig config = RunConfigFile.Read(folder.Config);
        if (result.GetResult(file) is not null || result.GetResult(preset) is not null)
            throw Fixed(result.GetResult(file) is not null ? file.Name : preset.Name);
        foreach ((RunSetting setting, _) in flags)
        {
            if (Given(result, setting.Name) is not { } text) continue;
            if (!RunIdentity.Open.Contains(setting.Name)) throw Fixed(setting.Flag);
            config = setting.Set(config, text);
        }
        return Absolute(Checked(config));
    }

    /// <summary>Whether the images of a run that goes on are said to be in another place.</summary>
    public bool HasMoved(ParseResult result) => Given(result, "data") is not null || Given(result, "base") is not null;

    private static UsageException Fixed(string flag) =>
        new($"{flag} is decided when a run begins: --resume goes with "
        + $"{string.Join(", ", RunIdentity.Open.Select(n => RunSettings.Named(n).Flag))} and --json");

    private static RunConfig Checked(RunConfig config)
    {
        TrainingOptions t = config.Training;
        if (t.BatchSize % t.Accumulate != 0) throw new UsageException($"--accumulate {t.Accumulate} does not divide --batch {t.BatchSize}");
        if (t.Warmup > t.Steps) throw new UsageException($"--warmup {t.Warmup} is longer than --steps {t.Steps}");
        UsageException.Guard(config.Diffusion);
        return config;
    }

    // A run may be gone on with from another folder.
    private static RunConfig Absolute(RunConfig config)
    {
        if (config.Cache is { } cache and not RunConfig.NoCache) config = config with { Cache = Path.GetFullPath(cache) };
        if (config.Init is { } init) config = config with { Init = Path.GetFullPath(init) };
        if (config.Images.BaseFolder is { } folder)
            return config with { Images = config.Images with { BaseFolder = Path.GetFullPath(folder) } };
        return ProceduralSet.Names.Contains(config.Data) ? config : config with { Data = Path.GetFullPath(config.Data) };
    }

    private UNetConfig NetworkOf(ParseResult result, string path)
    {
        using TensorFile weights = ModelOptions.OpenFile(path, WeightSelection.Auto);
        int? Integer(string name, string key) => Given(result, name) is { } text ? int.Parse(text)
            : ModelMetadata.Integer(weights.Metadata, key);
        int? heads = Integer("num_heads", ModelMetadata.NumHeads);
        return ArchitectureInference.Infer(weights, new ArchitectureOverrides(Integer("image_size", ModelMetadata.ImageSize), heads,
            heads is null ? Integer("num_head_channels", ModelMetadata.NumHeadChannels) : null));
    }

    private string? Given(ParseResult result, string name)
    {
        Option<string?> option = flags.Single(f => f.Setting.Name == name).Option;
        return result.GetResult(option) is null ? null : result.GetValue(option);
    }

    private static Option<string?> FlagOf(RunSetting setting)
    {
        bool isSwitch = setting.Kind == SettingKind.Switch;
        return new(setting.Flag)
        {
            Description = setting.Description,
            HelpName = setting.Kind switch
            {
                SettingKind.Number => "N",
                SettingKind.Numbers => "N,N",
                SettingKind.Switch => "on|off",
                SettingKind.Text => "TEXT",
                _ => throw new InvalidOperationException($"a setting of kind {setting.Kind} has no name in the help"),
            },
            Arity = isSwitch ? ArgumentArity.ZeroOrOne : ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                string text = result.Tokens.Count > 0 ? result.Tokens[0].Value : "on";
                try
                {
                    setting.Set(new RunConfig(), text);
                }
                catch (FormatException e)
                {
                    result.AddError($"{setting.Flag} takes {e.Message}");
                }
                return text;
            },
        };
    }
}
