using System.CommandLine;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Cli.Options;

/// <summary>Options of the verbs that measure a network: a checkpoint, or a published architecture with random weights.</summary>
internal sealed class NetworkOptions
{
    private readonly ModelOptions modelOptions = new();

    private readonly Option<string?> preset = OptionOf.Text(
        "--preset", "NAME", $"Published architecture, with random weights ({string.Join("|", Presets.Names)})");
    private readonly Option<int?> batch = OptionOf.Integer("--batch", "Images at once [default: 1]", 1, 4096);
    private readonly Option<int?> repeat = OptionOf.Integer("--repeat", "Measured steps [default: 20]", 1, 100_000);

    public void AddTo(Command command)
    {
        command.Options.Add(modelOptions.Checkpoint);
        command.Options.Add(preset);
        command.Options.Add(batch);
        command.Options.Add(repeat);
        modelOptions.AddTo(command);
    }

    public int Batch(ParseResult result) => result.GetValue(batch) ?? 1;

    public int Repeat(ParseResult result) => result.GetValue(repeat) ?? 20;

    /// <summary>The network to measure.</summary>
    /// <exception cref="UsageException">Not exactly one of checkpoint and preset is given, or there is no such preset.</exception>
    public LoadedModel Open(ParseResult result, uint seed, Terminal terminal)
    {
        string? name = result.GetValue(preset);
        if (name is null == result.GetValue(modelOptions.Checkpoint) is null)
            throw new UsageException($"expected either --checkpoint FILE or --preset NAME ({string.Join(", ", Presets.Names)})");
        if (name is null) return modelOptions.Open(result, terminal);
        UNetConfig config = UsageException.Guard(() => Presets.Get(name));
        var overrides = new ArchitectureOverrides(config.ImageSize, config.NumHeads, config.NumHeadChannels);
        return new LoadedModel(name, IsTrained: false, new DecompModel(RandomWeights.Of(DecompTensors.Of(config), seed), overrides));
    }
}
