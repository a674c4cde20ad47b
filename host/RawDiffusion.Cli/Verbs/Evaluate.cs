using System.CommandLine;
using System.Diagnostics;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Evaluation;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Engine;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Decomposes the images of a set and compares what comes out with the images, and with what is known to be in them.</summary>
internal sealed class Evaluate(Terminal terminal)
{
    private const int DefaultCount = 64;

    // Decompositions that are held in memory at once: each chunk compiles the sampler once or twice.
    private const int Chunk = 256;

    private const int DefaultSheetRows = 16;
    private const string JsonName = "evaluation.json";
    private const string SheetName = "sheet.png";

    private readonly ModelOptions modelOptions = new();
    private readonly DataOptions dataOptions = new(ofModel: true);
    private readonly SamplingOptions samplingOptions = new();
    private readonly DeviceOptions deviceOptions = new();
    private readonly Option<string?> data = OptionOf.Text("--data", "SET", DataOptions.Sources);
    private readonly Option<string?> output = OptionOf.Text("--out", "DIR", $"Folder for {JsonName} and {SheetName} [default: out]");
    private readonly Option<double?> threshold = OptionOf.Number("--mask-threshold", "Departure from its background, in parts of the full "
        + $"range, by which a pixel is a factor's [default: {FactorMasks.DefaultThreshold}]");
    private readonly Option<int?> rows = OptionOf.Integer("--rows", $"Images on the sheet [default: {DefaultSheetRows}]", 1, 1000);
    private readonly Option<string[]> lpips = new("--lpips")
    {
        Description = "Weights for LPIPS: a state dict of the lpips package, or its linear layers and torchvision's AlexNet or VGG16",
        HelpName = "FILE",
        AllowMultipleArgumentsPerToken = true,
        Arity = new ArgumentArity(1, 2),
        CustomParser = result => [.. result.Tokens.Select(t => t.Value)],
    };

    private readonly Option<string?> inception = OptionOf.Text(
        "--inception", "FILE", "Weights for FID and KID: pytorch-fid's pt_inception-2015-12-05");
    private readonly Option<bool> strict = OptionOf.Flag("--strict", "Stop at an image that cannot be read, instead of leaving it out");

    public static Command Create(Terminal terminal)
    {
        var verb = new Evaluate(terminal);
        var command = new VerbCommand("evaluate",
            $"Measures a model on a set of images, {DefaultCount} where no --count is given: reconstruction, and factors against the "
            + "objects where they are known.",
            "rawdiffusion evaluate --checkpoint model.safetensors --data tetris --count 256 --out results");
        command.Options.Add(verb.modelOptions.Checkpoint);
        command.Options.Add(verb.data);
        verb.dataOptions.AddTo(command);
        command.Options.Add(verb.output);
        command.Options.Add(verb.rows);
        command.Options.Add(verb.threshold);
        command.Options.Add(verb.lpips);
        command.Options.Add(verb.inception);
        command.Options.Add(verb.strict);
        verb.samplingOptions.AddTo(command);
        verb.modelOptions.AddTo(command);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string source = result.GetValue(data) ?? throw new UsageException(
            $"evaluate needs --data: a {DataOptions.Sources[..1].ToLowerInvariant()}{DataOptions.Sources[1..]}");
        double limit = result.GetValue(threshold) ?? FactorMasks.DefaultThreshold;
        if (limit < 0) throw new UsageException($"--mask-threshold takes a number of at least 0, found {limit}");
        uint seed = deviceOptions.Seed(result);
        using IDevice device = deviceOptions.Open(result, terminal);
        using LoadedModel model = modelOptions.Open(result, terminal);
        Transition transition = samplingOptions.Transition(result, model.Network.Metadata);
        UNetConfig config = model.Network.Config;
        if (config.ImageChannels != 3)
            throw new CommandException($"expected a model of pictures with 3 channels, found one with {config.ImageChannels}");
        using Lpips? perceptual = OpenLpips(result, config.ImageSize);
        using InceptionFeatures? features = result.GetValue(inception) is { } file
            ? new InceptionFeatures(ModelOptions.OpenFile(file, WeightSelection.Auto)) : null;
        using ImageSet set = dataOptions.Open(result, source, seed, DefaultCount, config.ImageSize, result.GetValue(strict));
        terminal.TellPassedOver(set);
        var policy = new ReadPolicy(set, result.GetValue(strict), terminal.Warn);
        using var folder = new OutputFolder(result.GetValue(output) ?? "out", terminal.Cancellation);
        folder.Reserve([JsonName, SheetName], [model.Path, .. set.Files, .. result.GetValue(lpips)
            ?? [], .. result.GetValue(inception) is { } weights ? [weights] : Array.Empty<string>()]);

        long start = Stopwatch.GetTimestamp();
        var decomposer = new Decomposer(
            device, model.Network, transition, samplingOptions.Sampler(result, seed), samplingOptions.Guidance(result));
        var noise = InitialNoise.Draw(config, seed);
        var evaluation = new SetEvaluation(set, config, limit, result.GetValue(rows) ?? DefaultSheetRows);
        int chunks = (set.Count + Chunk - 1) / Chunk;
        // Images that are left out leave steps out with them: the bar then ends early.
        int steps = Enumerable.Range(0, chunks).Sum(c => decomposer.TotalSteps(Math.Min(Chunk, set.Count - c * Chunk)));
        try
        {
            ProgressDisplay.Run(terminal, $"decomposing {set.Count} images", steps, stepDone =>
            {
                for (int c = 0; c < chunks; c++)
                {
                    List<(int Index, float[] Pixels, GroundTruth? Truth)> images = Load(set, policy, c * Chunk);
                    if (images.Count == 0) continue;
                    float[] pixels = [.. images.SelectMany(i => i.Pixels)];
                    float[] latents = decomposer.Encode(pixels, images.Count, terminal.Cancellation);
                    int first = evaluation.Count;
                    Decomposition sampled = decomposer.Sample(latents, images.Count, first,
                        (image, trajectory) => noise.Of(first + image, trajectory), stepDone, terminal.Cancellation);
                    evaluation.Add(images, latents, sampled);
                }
                return chunks;
            });
        }
        finally
        {
            model.WarnNonFinite(terminal);
        }
        evaluation.LeftOut = policy.Skipped;
        if (evaluation.Count == 0) throw policy.NoneLeft();
        ResultWriter.WarnNonFinite(terminal, evaluation.Reconstructions);
        if (perceptual is not null || features is not null) Compare(device, perceptual, features, evaluation, seed);
        var summary = new RunSummary(model, device, transition.Count, evaluation.Count, seed, Stopwatch.GetElapsedTime(start).TotalSeconds);

        folder.Add(SheetName, path => ImageFile.WritePng(path, evaluation.Sheet()));
        folder.Add(JsonName, path =>
        {
            using var text = new StreamWriter(path);
            EvaluationReport.WriteJson(text, summary, evaluation, []);
        });
        IReadOnlyList<string> written = folder.Commit();
        if (deviceOptions.Json(result)) EvaluationReport.WriteJson(terminal.Out, summary, evaluation, written);
        else EvaluationReport.WriteTable(terminal.Out, summary, evaluation, written);
        return ExitCode.Success;
    }

    private Lpips? OpenLpips(ParseResult result, int size)
    {
        if (result.GetValue(lpips) is not { Length: > 0 } paths) return null;
        List<TensorFile> files = [];
        try
        {
            foreach (string path in paths) files.Add(ModelOptions.OpenFile(path, WeightSelection.Auto));
        }
        catch
        {
            foreach (TensorFile file in files) file.Dispose();
            throw;
        }
        var network = new Lpips(files);
        if (size >= network.SmallestSide) return network;
        network.Dispose();
        throw new CommandException($"--lpips with {network.Network} needs images of at least {network.SmallestSide} x "
            + $"{network.SmallestSide} pixels, found a model of {size} x {size}");
    }

    private List<(int Index, float[] Pixels, GroundTruth? Truth)> Load(ImageSet set, ReadPolicy policy, int first)
    {
        List<(int, float[], GroundTruth?)> images = [];
        for (int i = first; i < Math.Min(first + Chunk, set.Count); i++)
        {
            terminal.Cancellation.ThrowIfCancellationRequested();
            policy.TryRead(i, () => images.Add((i, set.Load(i), set.TruthOf(i))));
        }
        return images;
    }

    private void Compare(IDevice device, Lpips? perceptual, InceptionFeatures? features, SetEvaluation evaluation, uint seed)
    {
        int units = evaluation.Count * ((perceptual is null ? 0 : 1) + (features is null ? 0 : 2));
        ProgressDisplay.Run(terminal, "comparing features", units, done =>
        {
            (float[] inputs, float[] reconstructions) = (evaluation.Inputs, evaluation.Shown());
            if (perceptual is not null)
                evaluation.Lpips = perceptual.Distances(device, inputs, reconstructions, evaluation.Size, done, terminal.Cancellation);
            if (features is null) return units;
            float[] of = features.Of(device, inputs, evaluation.Size, done, terminal.Cancellation);
            float[] ofReconstructions = features.Of(device, reconstructions, evaluation.Size, done, terminal.Cancellation);
            evaluation.Fid = FeatureDistances.Fid(of, ofReconstructions, InceptionFeatures.Width);
            evaluation.Kid = FeatureDistances.Kid(of, ofReconstructions, InceptionFeatures.Width, seed);
            return units;
        });
    }
}
