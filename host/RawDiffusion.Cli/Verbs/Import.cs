using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Shows what is in a checkpoint, or converts it.</summary>
internal sealed class Import(Terminal terminal)
{
    private readonly DeviceOptions deviceOptions = new();
    private readonly ModelOptions modelOptions = new();
    private readonly Argument<string> source = new(
        "FILE")
    { Description = "Checkpoint: .pt of PyTorch, or .safetensors; - is standard input" };
    private readonly Option<string?> target = OptionOf.Text("--to", "FILE", "Write the model's weights as .safetensors or .pt");
    private readonly Option<bool> half = new("--half") { Description = "With --to: floating-point tensors in float16, half the size" };

    public static Command Create(Terminal terminal)
    {
        var verb = new Import(terminal);
        var command = new VerbCommand("import",
            "Shows what is in a checkpoint, and converts it between PyTorch and safetensors. Runs nothing that is in the file.",
            "rawdiffusion import clevr_model.pt --to clevr_model.safetensors");
        command.Arguments.Add(verb.source);
        command.Options.Add(verb.target);
        command.Options.Add(verb.half);
        verb.modelOptions.AddTo(command);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string path = result.GetRequiredValue(source);
        string? to = result.GetValue(target);
        string extension = Path.GetExtension(to ?? ".pt").ToLowerInvariant();
        if (extension is not (".pt" or ".pth" or ".safetensors"))
            throw new UsageException($"--to takes a file that ends in .safetensors or .pt, found '{to}'");
        if (to is null && result.GetValue(half)) throw new UsageException("--half says how --to writes: give --to FILE as well");
        using TensorFile file = ModelOptions.OpenFile(path, modelOptions.Weights(result));
        var content = CheckpointContent.Of(file, modelOptions.Overrides(result, file), terminal.Cancellation);
        foreach (string bad in content.NonFinite.Take(1))
        {
            terminal.Warn($"{Path.GetFileName(path)}: weights must be finite numbers, but "
                + $"{bad}{(content.NonFinite.Count > 1 ? $", and {content.NonFinite.Count - 1} more tensors hold such values" : "")}");
        }

        string? written = to is null ? null : Convert(file, content, path, to, extension, result.GetValue(half));

        foreach (string other in file.PassedOver) terminal.Detail($"{Path.GetFileName(path)}: passed over: {other}");
        if (deviceOptions.Json(result)) JsonReport.Write(terminal.Out, json => WriteJson(json, path, file, content, written));
        else WriteText(path, file, content, written);
        return ExitCode.Success;
    }

    private string Convert(TensorFile file, CheckpointContent content, string path, string to, string extension, bool toHalf)
    {
        string full = Path.GetFullPath(to), name = Path.GetFileName(full);
        using var folder = new OutputFolder(Path.GetDirectoryName(full)!, terminal.Cancellation);
        folder.Reserve([name], [path]);
        IEnumerable<KeyValuePair<string, Tensor>> tensors = file.Names.Select(
            n => KeyValuePair.Create(n, Cancellable(toHalf ? file[n].ToHalf() : file[n])));
        folder.Add(name, temporary =>
        {
            Dictionary<string, string> metadata = content.Metadata(file.Metadata);
            if (extension == ".safetensors") SafeTensors.Write(temporary, tensors, metadata);
            else PyTorchCheckpoint.Write(temporary, tensors, metadata);
        });
        string written = folder.Commit()[0];
        List<string> lost = [.. file.PassedOver.Take(3)];
        if (file.PassedOver.Count > lost.Count) lost.Add($"{file.PassedOver.Count - lost.Count} more (--verbose lists them)");
        if (toHalf && content.Types.Any(t => t.Type is "float32" or "float64" or "bfloat16")) lost.Add("the precision beyond float16");
        if (lost.Count > 0) terminal.Warn($"{name} does not hold all of {Path.GetFileName(path)}: it lacks {string.Join(", ", lost)}");
        return written;
    }

    // A large file takes long to write: stops between two tensors.
    private Tensor Cancellable(Tensor tensor) => new(tensor.Type, tensor.Shape, bytes =>
    {
        terminal.Cancellation.ThrowIfCancellationRequested();
        tensor.ToBytes().CopyTo(bytes);
    });

    private void WriteText(string path, TensorFile file, CheckpointContent content, string? written)
    {
        UNetConfig c = content.Config;
        string heads = !content.HeadsKnown ? "unknown: give --num-heads or --num-head-channels to use it"
            : c.NumHeadChannels is int channels ? $"{channels} channels a head" : $"{c.NumHeads} heads";
        string blocks = c.NumResBlocks == 1 ? "1 residual block" : $"{c.NumResBlocks} residual blocks";
        string resampling = c.ResBlockUpDown ? "in residual blocks" : "by convolutions";
        string embedding = c.UseScaleShiftNorm ? "scales and shifts" : "added";
        terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            file          {path} ({file.Format}, {file.Length / 1048576.0:0.0} MiB)
            tensors       {file.Names.Count} ({string.Join(", ", content.Types.Select(t => $"{t.Count} {t.Type}"))})
            images        {c.ImageSize} x {c.ImageSize}, {c.ImageChannels} channels
            factors       {c.NumComponents}, latents of {c.LatentDim} (emb_dim {c.EmbDim})
            U-Net         {c.Channels} channels x ({string.Join(", ", c.ChannelMult)}), {blocks} a level
                          resampling {resampling}, embedding {embedding}
            attention     at {string.Join(", ", content.AttentionResolutions)} pixels and in the middle, {heads}
            encoder       {c.EncChannels} channels
            parameters    {DecompTensors.ParameterCount(c):N0}
            """));
        foreach (string note in file.Notes) terminal.Out.WriteLine($"note          {Terminal.OneLine(note)}");
        if (!ModelMetadata.IsTrained(file.Metadata)) terminal.Out.WriteLine("note          UNTRAINED: the weights are random numbers");
        if (written is not null) terminal.Out.WriteLine($"written       {written}");
    }

    private static void WriteJson(Utf8JsonWriter json, string path, TensorFile file, CheckpointContent content, string? written)
    {
        UNetConfig c = content.Config;
        json.WriteString("file", path);
        json.WriteString("format", file.Format);
        json.WriteNumber("tensors", file.Names.Count);
        json.WriteStartObject("dtypes");
        foreach ((string type, int count) in content.Types) json.WriteNumber(type, count);
        json.WriteEndObject();
        json.WriteNumber("image_size", c.ImageSize);
        json.WriteNumber("image_channels", c.ImageChannels);
        json.WriteNumber("channels", c.Channels);
        json.Integers("channel_mult", c.ChannelMult);
        json.WriteNumber("num_res_blocks", c.NumResBlocks);
        json.WriteNumber("emb_dim", c.EmbDim);
        json.WriteNumber("enc_channels", c.EncChannels);
        json.WriteNumber("num_components", c.NumComponents);
        WriteOptional(json, "num_heads", content.HeadsKnown ? c.HeadsAt(c.Widths[^1]) : null);
        WriteOptional(json, "num_head_channels", content.HeadsKnown ? c.NumHeadChannels : null);
        json.WriteBoolean("use_scale_shift_norm", c.UseScaleShiftNorm);
        json.WriteBoolean("resblock_updown", c.ResBlockUpDown);
        json.Integers("attention_resolutions", content.AttentionResolutions);
        json.WriteNumber("parameters", DecompTensors.ParameterCount(c));
        json.WriteBoolean("trained", ModelMetadata.IsTrained(file.Metadata));
        json.Strings("notes", file.Notes);
        json.Strings("passed_over", file.PassedOver);
        json.Strings("non_finite", content.NonFinite);
        if (written is not null) json.WriteString("written", written);
    }

    private static void WriteOptional(Utf8JsonWriter json, string name, int? value)
    {
        if (value is int number) json.WriteNumber(name, number);
        else json.WriteNull(name);
    }
}
