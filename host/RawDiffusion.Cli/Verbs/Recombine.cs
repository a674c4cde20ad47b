using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Verbs;

/// <summary>
/// Factors of several images, and of two models, to one image. Source: <c>combine_components_slice</c>, <c>_add</c> and
/// <c>_cross_dataset</c> of the authors' gen_image.py.
/// </summary>
internal sealed class Recombine
{
    private const string Stem = "recombination";

    private readonly DeviceOptions deviceOptions = new();
    private readonly Terminal terminal;
    private readonly ModelOptions modelOptions = new();
    private readonly ModelOptions secondOptions;
    private readonly SamplingOptions samplingOptions = new();
    private readonly ImageOptions imageOptions = new();
    private readonly Option<string?> pick = OptionOf.Text(
        "--pick", "1,1,0,0", "The image of each factor: 1 the first, 0 the second, 2 the third, ... [default: half each]");
    private readonly Option<bool> average = OptionOf.Flag("--average", "Average the images' compositions instead of picking factors");

    private Recombine(Terminal terminal)
    {
        this.terminal = terminal;
        secondOptions = new ModelOptions(modelOptions);
    }

    public static Command Create(Terminal terminal)
    {
        var verb = new Recombine(terminal);
        var command = new VerbCommand("recombine",
            "Makes one image from factors of several.",
            "rawdiffusion recombine --checkpoint clevr_model.pt --image a.png b.png --pick 1,1,0,0 --out results");
        command.Options.Add(verb.modelOptions.Checkpoint);
        command.Options.Add(verb.secondOptions.Checkpoint);
        command.Options.Add(verb.pick);
        command.Options.Add(verb.average);
        verb.imageOptions.AddTo(command);
        verb.samplingOptions.AddTo(command);
        verb.modelOptions.AddTo(command);
        verb.secondOptions.AddTo(command);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        if (result.GetValue(average) && result.GetValue(pick) is not null)
            throw new UsageException("give either --pick or --average, not both");
        ImageCrop? crop = imageOptions.Crop(result);
        uint seed = deviceOptions.Seed(result);
        using IDevice device = deviceOptions.Open(result, terminal);
        using LoadedModel first = modelOptions.Open(result, terminal);
        Transition transition = samplingOptions.Transition(result, first.Network.Metadata);
        using LoadedModel? second = result.GetValue(secondOptions.Checkpoint) is { } path2
            ? secondOptions.Open(result, path2, terminal) : null;
        UNetConfig config = first.Network.Config;
        ResultWriter.RequirePicture(config);
        SamplerOptions sampling = samplingOptions.Sampler(result, seed);
        if (second is not null) RequireAlike(first, second, sampling.Predicts);
        List<InputImage> images = InputImage.Read(
            imageOptions.ImageFiles(result), crop, imageOptions.Orientation(result), config, terminal.Cancellation);
        if (images.Count < 2) throw new UsageException($"expected at least two images after --image, found {images.Count}");
        if (second is not null && images.Count > 2)
            throw new UsageException($"expected two images with --checkpoint2, one for each model, found {images.Count}");
        int[]? picked = result.GetValue(average) ? null : Pick.Parse(result.GetValue(pick), config.NumComponents, images.Count);
        InitialNoise noise = imageOptions.Noise(result, config, count: 1, trajectories: 1, seed);

        using var folder = new OutputFolder(imageOptions.Output(result), terminal.Cancellation);
        RowFiles files = RowFiles.For([Stem], imageOptions.Separate(result) ? [.. images.Select((_, i) => $"input{i}"), "result"] : [])[0];
        IEnumerable<string> inputs =
            [first.Path, .. second is null ? Array.Empty<string>() : [second.Path], .. images.Select(i => i.Path),
            .. imageOptions.NoiseFile(result) is { } path ? [path] : Array.Empty<string>()];
        folder.Reserve(imageOptions.Raw(result) ? files.All.Append(ResultWriter.RawName) : files.All, inputs);

        long start = Stopwatch.GetTimestamp();
        IReadOnlyList<DecompModel> models = second is null ? [first.Network] : [first.Network, second.Network];
        int[] modelOf = [.. Enumerable.Range(0, images.Count).Select(i => second is not null && i == 1 ? 1 : 0)];
        int pixels = config.ImageSize * config.ImageSize;
        float[][] latents = [.. images.Select((image, i) =>
            models[modelOf[i]].Encode(device, Layout.ToNhwc(image.Planes, config.ImageChannels, pixels), 1, terminal.Cancellation))];
        var composition = Composition.Mean([.. Factors(picked, images.Count, config.NumComponents)
            .Select(f => Composition.Of(new LatentCondition(Latent(f.Image, f.Factor)), modelOf[f.Image]))]);
        using var sampler = new Sampler(device, [.. models.Select(m => m.Denoiser)], [composition.Guided(samplingOptions.Guidance(result))],
            transition, sampling);
        first.WarnNonFinite(terminal);
        second?.WarnNonFinite(terminal);
        float[] sampled = ProgressDisplay.Run(terminal, "recombining", transition.Count,
            stepDone => sampler.Run(noise.Of(0, 0).Span, imageOptions.FirstIndex(result), _ => stepDone(), terminal.Cancellation));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        float[] recombined = Layout.ToNchw(sampled, config.ImageChannels, pixels);
        ResultWriter.WarnNonFinite(terminal, recombined);

        ResultWriter.AddRow(folder, files, config, [.. images.Select(i => (ReadOnlyMemory<float>)i.Planes), recombined]);
        if (imageOptions.Raw(result)) AddRaw(folder, config, images, latents, recombined);
        Report(result, folder.Commit(), picked, new RunSummary(first, device, transition.Count, images.Count, seed, seconds));
        return ExitCode.Success;

        ReadOnlyMemory<float> Latent(int image, int factor)
        {
            int width = models[modelOf[image]].Config.LatentDim;
            return latents[image].AsMemory(factor * width, width);
        }
    }

    // Each factor from its image; to average compositions, every factor of every image.
    private static IEnumerable<(int Image, int Factor)> Factors(int[]? picked, int images, int components) => picked is null
        ? Enumerable.Range(0, images).SelectMany(_ => Enumerable.Range(0, components), (image, k) => (image, k))
        : picked.Select((image, k) => (image, k));

    private static void RequireAlike(LoadedModel first, LoadedModel second, Prediction? predicts)
    {
        (UNetConfig a, UNetConfig b) = (first.Network.Config, second.Network.Config);
        (Prediction x, Prediction y) = (first.Network.Denoiser.Predicts, second.Network.Denoiser.Predicts);
        if (predicts is null && x != y)
        {
            throw new CommandException($"expected two models that predict the same, found {x.Name()} in {first.Path} and {y.Name()} in "
                + $"{second.Path}");
        }
        if ((a.ImageSize, a.ImageChannels, a.NumComponents) == (b.ImageSize, b.ImageChannels, b.NumComponents)) return;
        throw new CommandException(
            $"expected two models of one image size and number of factors, found {a.ImageSize} x {a.ImageSize} pixels and "
                + $"{a.NumComponents} factors in {first.Path}, " +
            $"{b.ImageSize} x {b.ImageSize} and {b.NumComponents} in {second.Path}");
    }

    private static void AddRaw(OutputFolder folder, UNetConfig config, List<InputImage> images, float[][] latents, float[] recombined)
    {
        int[] image = [config.ImageChannels, config.ImageSize, config.ImageSize];
        List<(string, int[], float[])> tensors =
        [
            ("input", [images.Count, .. image], [.. images.SelectMany(i => i.Planes)]),
            ("reconstruction", [1, .. image], recombined),
        ];
        // Two models may have latents of different widths; then there is no one tensor of them.
        if (latents.All(l => l.Length == latents[0].Length))
        {
            tensors.Add(("latent", [images.Count, config.NumComponents, latents[0].Length / config.NumComponents],
                [.. latents.SelectMany(l => l)]));
        }

        ResultWriter.AddRaw(folder, [.. tensors]);
    }

    private void Report(ParseResult result, IReadOnlyList<string> written, int[]? picked, RunSummary summary)
    {
        if (deviceOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                summary.Write(json);
                json.WriteNumber("first_index", imageOptions.FirstIndex(result));
                if (result.GetValue(secondOptions.Checkpoint) is { } path) json.WriteString("checkpoint2", path);
                json.WriteString("method", picked is null ? "average" : "pick");
                if (picked is not null) json.Integers("image_of_factor", picked);
                json.Strings("files", written);
            });
            return;
        }
        foreach (string path in written) terminal.Out.WriteLine(path);
        string method = picked is null ? "averaged" : $"factors of images {string.Join(", ", picked.Select(i => i + 1))}";
        terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"recombined {summary.Images} images ({method}) in {summary.Steps} steps and {summary.Seconds:0.00} s on "
            + $"{summary.Device.Description}"));
    }
}
