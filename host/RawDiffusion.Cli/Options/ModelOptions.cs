using System.CommandLine;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Options;

/// <summary>
/// Options that name a checkpoint and say what its shapes cannot tell. Those of a second model have a 2 behind their
/// names, and what they leave out is as for the first.
/// </summary>
internal sealed class ModelOptions
{
    private readonly ModelOptions? first;
    private readonly Option<string> weights;
    private readonly Option<int?> imageSize;
    private readonly Option<int?> numHeads;
    private readonly Option<int?> numHeadChannels;

    public ModelOptions(ModelOptions? first = null)
    {
        this.first = first;
        bool second = first is not null;
        string suffix = second ? "2" : "";
        weights = first?.weights ?? OptionOf.Choice("--weights", "Which weights of a file with EMA weights", "auto", "ema", "online");
        imageSize = first?.imageSize
            ?? OptionOf.Integer("--image-size", "Pixels a side, where the checkpoint fits several [default: a multiple of 8]", 1);
        numHeads = OptionOf.Integer("--num-heads" + suffix, second ? "Attention heads of the second model"
            : "Attention heads of every block", 1);
        numHeadChannels = OptionOf.Integer("--num-head-channels" + suffix,
            $"Channels of an attention head {(second ? "of the second model [default: as the first]" : "[default: 64]")}", 1);
        Checkpoint = OptionOf.Text("--checkpoint" + suffix, "FILE", second
            ? "Model of the second image's factors [default: the same]"
            : "Model: .pt of PyTorch or .safetensors, - for standard input [default: weights/shapes.safetensors]");
    }

    /// <summary>The model's file.</summary>
    public Option<string?> Checkpoint { get; }

    public void AddTo(Command command)
    {
        if (first is null)
        {
            command.Options.Add(weights);
            command.Options.Add(imageSize);
        }
        command.Options.Add(numHeads);
        command.Options.Add(numHeadChannels);
    }

    public WeightSelection Weights(ParseResult result) => result.GetValue(weights) switch
    {
        "ema" => WeightSelection.Ema,
        "online" => WeightSelection.Online,
        _ => WeightSelection.Auto,
    };

    /// <summary>Opens the model that the options name, or the default model.</summary>
    public LoadedModel Open(ParseResult result, Terminal terminal) =>
        Open(result, result.GetValue(Checkpoint) ?? DefaultFiles.Model(), terminal);

    /// <summary>Opens a model with these options.</summary>
    public LoadedModel Open(ParseResult result, string path, Terminal terminal)
    {
        TensorFile file = OpenFile(path, Weights(result));
        var model = new LoadedModel(path, ModelMetadata.IsTrained(file.Metadata), new DecompModel(file, Overrides(result, file)));
        UNetConfig c = model.Network.Config;
        terminal.Detail($"{path}: {file.Format}, {HostMemory.Text(file.Length)}, {file.Names.Count} tensors; images of {c.ImageSize} x "
            + $"{c.ImageSize} x {c.ImageChannels}, {c.NumComponents} factors, {DecompTensors.ParameterCount(c)} parameters");
        foreach (string note in model.Network.Notes) terminal.Tell($"{Path.GetFileName(path)}: {note}");
        foreach (string other in file.PassedOver) terminal.Detail($"{Path.GetFileName(path)}: passed over: {other}");
        if (!model.IsTrained)
        {
            terminal.Warn($"{Path.GetFileName(path)} is UNTRAINED: its weights are random numbers, so what comes out means nothing "
                + "(--checkpoint names a trained model)");
        }

        return model;
    }

    /// <summary>What the options, or else the file's metadata, say about what shapes cannot tell.</summary>
    public ArchitectureOverrides Overrides(ParseResult result, TensorFile file)
    {
        (int? size, int? heads, int? headChannels) = (
            result.GetValue(imageSize), result.GetValue(numHeads), result.GetValue(numHeadChannels));
        if (heads is not null && headChannels is not null)
            throw new UsageException($"give either {numHeads.Name} or {numHeadChannels.Name}, not both");
        if (first is not null && heads is null && headChannels is null) return first.Overrides(result, file);
        ArchitectureOverrides told = ModelMetadata.Overrides(file.Metadata);
        if (heads is null && headChannels is null) (heads, headChannels) = (told.NumHeads, told.NumHeadChannels);
        return new ArchitectureOverrides(size ?? told.ImageSize, heads, headChannels);
    }

    /// <summary>Opens a checkpoint file.</summary>
    /// <exception cref="CommandException">There is no such file.</exception>
    public static TensorFile OpenFile(string path, WeightSelection weights)
    {
        InputFile.Require(path, "a checkpoint");
        return Formats.Checkpoint.Open(path, weights);
    }
}

/// <summary>An open model and where it came from.</summary>
/// <param name="Path">Its file.</param>
/// <param name="IsTrained">False for the model of random weights that stands in until there are trained ones.</param>
/// <param name="Network">The network.</param>
internal sealed record LoadedModel(string Path, bool IsTrained, DecompModel Network) : IDisposable
{
    public void Dispose() => Network.Dispose();

    /// <summary>Warns about tensors that hold NaN or infinity; known once a device has read the weights.</summary>
    public void WarnNonFinite(Terminal terminal)
    {
        IReadOnlyDictionary<string, string> bad = Network.Weights.NonFinite;
        if (bad.Count == 0) return;
        string more = bad.Count > 1 ? $" and {bad.Count - 1} more tensors hold such values" : "";
        terminal.Warn($"{System.IO.Path.GetFileName(Path)}: weights must be finite numbers, but {bad.Values.First()}{more}; expect "
            + "useless images");
    }
}
