using System.CommandLine;
using RawDiffusion.Cli.Inputs;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Options;

/// <summary>Options of the verbs that make images from images.</summary>
internal sealed class ImageOptions
{
    private readonly Option<string[]> images = new("--image")
    {
        Description = "Pictures (PNG, JPEG, WebP, BMP, TGA, PNM; - is standard input), or safetensors files with a tensor 'image' "
            + "[B, C, S, S]",
        HelpName = "FILE",
        AllowMultipleArgumentsPerToken = true,
        Arity = ArgumentArity.OneOrMore,
        CustomParser = result => [.. result.Tokens.Select(t => t.Value)],
    };

    private readonly Option<string?> output = OptionOf.Text("--out", "DIR", "Folder for the results [default: out]");
    private readonly Option<string?> noise = OptionOf.Text(
        "--noise", "FILE", "Initial noise: safetensors file with a tensor 'noise' [default: drawn from --seed]");
    private readonly Option<int?> firstIndex = OptionOf.Integer("--first-index",
        "Index of the first image among all of --seed: each has noise of its own [default: 0]", 0, 1_000_000_000);
    private readonly Option<string?> crop = OptionOf.Text(
        "--crop", "X,Y,W,H", "Part of each picture to use, in pixels; 0 for W or H is up to the edge");
    private readonly Option<string> orientation = OptionOf.Orientation();
    private readonly Option<bool> raw = OptionOf.Flag("--raw", "Also write result.safetensors, before clamping to displayable range");
    private readonly Option<bool> separate = OptionOf.Flag("--separate", "Also write each image of a row as a file of its own");

    public void AddTo(Command command)
    {
        command.Options.Add(images);
        command.Options.Add(output);
        command.Options.Add(noise);
        command.Options.Add(firstIndex);
        command.Options.Add(crop);
        command.Options.Add(orientation);
        command.Options.Add(raw);
        command.Options.Add(separate);
    }

    public bool Raw(ParseResult result) => result.GetValue(raw);

    public bool Separate(ParseResult result) => result.GetValue(separate);

    public string Output(ParseResult result) => result.GetValue(output) ?? "out";

    /// <summary>The files that --image names; none where it is absent.</summary>
    public IReadOnlyList<string> ImageFiles(ParseResult result) => result.GetValue(images) ?? [];

    public string? NoiseFile(ParseResult result) => result.GetValue(noise);

    public int FirstIndex(ParseResult result) => result.GetValue(firstIndex) ?? 0;

    public ImageOrientation Orientation(ParseResult result) => OptionOf.Orientation(result.GetRequiredValue(orientation));

    public ImageCrop? Crop(ParseResult result) => OptionOf.Crop(result.GetValue(crop));

    /// <summary>The initial noise.</summary>
    /// <param name="result">Parsed command line.</param>
    /// <param name="config">The model's architecture.</param>
    /// <param name="count">B, images.</param>
    /// <param name="trajectories">Of one image.</param>
    /// <param name="seed">Where no file is named.</param>
    public InitialNoise Noise(ParseResult result, UNetConfig config, int count, int trajectories, uint seed) =>
        NoiseFile(result) is { } path ? InitialNoise.Read(path, config, count, trajectories)
            : InitialNoise.Draw(config, seed, FirstIndex(result));
}
