using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Images to factor images and reconstructions. Source: <c>gen_image_and_components</c> of the authors' gen_image.py.</summary>
internal sealed class Decompose(Terminal terminal)
{
    private readonly DeviceOptions deviceOptions = new();
    private readonly ModelOptions modelOptions = new();
    private readonly SamplingOptions samplingOptions = new();
    private readonly ImageOptions imageOptions = new();

    public static Command Create(Terminal terminal)
    {
        var verb = new Decompose(terminal);
        var command = new VerbCommand("decompose",
            "Decomposes images into factors and puts them together again. One picture for each image: input, factors, reconstruction.",
            "rawdiffusion decompose --checkpoint clevr_model.pt --image scene.png --out results")
        {
            IsShared = true,
        };
        command.Options.Add(verb.modelOptions.Checkpoint);
        verb.imageOptions.AddTo(command);
        verb.samplingOptions.AddTo(command);
        verb.modelOptions.AddTo(command);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        ImageCrop? crop = imageOptions.Crop(result);
        uint seed = deviceOptions.Seed(result);
        using IDevice device = deviceOptions.Open(result, terminal);
        using LoadedModel model = modelOptions.Open(result, terminal);
        Transition transition = samplingOptions.Transition(result, model.Network.Metadata);
        UNetConfig config = model.Network.Config;
        ResultWriter.RequirePicture(config);
        IReadOnlyList<string> files = imageOptions.ImageFiles(result);
        List<InputImage> images = InputImage.Read(files.Count > 0 ? files : [DefaultFiles.Image()], crop, imageOptions.Orientation(result),
            config, terminal.Cancellation);
        var decomposer = new Decomposer(
            device, model.Network, transition, samplingOptions.Sampler(result, seed), samplingOptions.Guidance(result));
        InitialNoise noise = imageOptions.Noise(result, config, images.Count, decomposer.TrajectoriesOfImage, seed);

        using OutputFolder? folder = terminal.IsFirst ? new OutputFolder(imageOptions.Output(result), terminal.Cancellation) : null;
        IReadOnlyList<RowFiles> rows = RowFiles.For(
            images.Select(i => i.Stem), imageOptions.Separate(result) ? TileNames(config.NumComponents) : []);
        IEnumerable<string> names = rows.SelectMany(r => r.All);
        IEnumerable<string> inputs = [model.Path, .. images.Select(i => i.Path), .. imageOptions.NoiseFile(result) is { } path ? [path]
            : Array.Empty<string>()];
        folder?.Reserve(imageOptions.Raw(result) ? names.Append(ResultWriter.RawName) : names, inputs);

        long start = Stopwatch.GetTimestamp();
        int pixels = config.ImageSize * config.ImageSize, length = pixels * config.ImageChannels;
        float[] planes = [.. images.SelectMany(i => i.Planes)];
        // An image's result does not depend on the others: each process computes some, and gives them to all.
        var share = RankShare.Of(terminal.Ranks, images.Count);
        float[] shared = Layout.ToNhwc(
            planes, config.ImageChannels, pixels)[(share.First * length)..((share.First + share.Count) * length)];
        float[] latents = decomposer.Encode(shared, share.Count, terminal.Cancellation);
        string what = images.Count == 1 ? $"decomposing {images[0].Stem}" : $"decomposing {images.Count} images";
        Decomposition sampled;
        try
        {
            sampled = ProgressDisplay.Run(terminal, what, decomposer.TotalSteps(share.Count),
                stepDone => decomposer.Sample(latents, share.Count, imageOptions.FirstIndex(result) + share.First,
                (image, trajectory) => noise.Of(share.First + image, trajectory), stepDone, terminal.Cancellation));
        }
        finally
        {
            model.WarnNonFinite(terminal);
        }
        latents = share.Gather(latents, config.NumComponents * config.LatentDim);
        sampled = new Decomposition(
            share.Gather(sampled.Factors, config.NumComponents * length), share.Gather(sampled.Reconstructions, length));
        if (folder is null) return ExitCode.Success;
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        float[] factors = Layout.ToNchw(sampled.Factors, config.ImageChannels, pixels);
        float[] reconstructions = Layout.ToNchw(sampled.Reconstructions, config.ImageChannels, pixels);
        ResultWriter.WarnNonFinite(terminal, reconstructions);

        for (int b = 0; b < images.Count; b++)
        {
            IEnumerable<ReadOnlyMemory<float>> parts = Enumerable.Range(b * config.NumComponents, config.NumComponents)
                .Select(k => (ReadOnlyMemory<float>)factors.AsMemory(k * length, length));
            ResultWriter.AddRow(folder, rows[b], config, [images[b].Planes, .. parts, reconstructions.AsMemory(b * length, length)]);
        }
        if (imageOptions.Raw(result))
        {
            int[] image = [config.ImageChannels, config.ImageSize, config.ImageSize];
            ResultWriter.AddRaw(folder,
                ("input", [images.Count, .. image], planes),
                ("latent", [images.Count, config.NumComponents, config.LatentDim], latents),
                ("factors", [images.Count, config.NumComponents, .. image], factors),
                ("reconstruction", [images.Count, .. image], reconstructions));
        }
        Report(result, folder.Commit(), new RunSummary(model, device, transition.Count, images.Count, seed, seconds));
        return ExitCode.Success;
    }

    private void Report(ParseResult result, IReadOnlyList<string> written, RunSummary summary)
    {
        if (deviceOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                summary.Write(json);
                json.WriteNumber("first_index", imageOptions.FirstIndex(result));
                json.Strings("files", written);
            });
            return;
        }
        foreach (string path in written) terminal.Out.WriteLine(path);
        terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"decomposed {summary.Images} image{(summary.Images == 1 ? "" : "s")} in {summary.Steps} steps and {summary.Seconds:0.00} s on "
            + $"{summary.Device.Description}"));
    }

    private static IReadOnlyList<string> TileNames(int components) =>
        ["input", .. Enumerable.Range(0, components).Select(k => $"factor{k}"), "reconstruction"];
}
