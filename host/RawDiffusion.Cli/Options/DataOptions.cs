using System.CommandLine;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Data.Procedural;

namespace RawDiffusion.Cli.Options;

/// <summary>Which images of a set are used, and how they are read.</summary>
/// <param name="ofModel">Whether images are for a model that was trained: it gives the size, and did not see the held-out ones.</param>
internal sealed class DataOptions(bool ofModel = false)
{
    /// <summary>What a user may call a set; for help.</summary>
    public static readonly string Sources =
        "Folder of pictures, pattern ('pictures/*/*.png'), .tar, .tar.gz or .pack file, or procedural set "
        + $"({string.Join("|", ProceduralSet.Names)})";

    private readonly Option<int?> size = OptionOf.Integer(
        "--size", "Width and height that images are resized to [default: the set's own, else 64]", 1, ImageSet.MaxSize);
    private readonly Option<int?> start = OptionOf.Integer("--start", "First image to use [default: 0]", 0);
    private readonly Option<int?> count = OptionOf.Integer("--count", "Number of images to use", 1);
    private readonly Option<string?> baseFolder = OptionOf.Text(
        "--base", "DIR", $"The authors' folder of data sets, for these names: {string.Join(", ", AuthorsLayouts.Names)}");
    private readonly Option<string?> crop = OptionOf.Text(
        "--crop", "X,Y,W,H", "Part of each picture to use, in pixels; 0 for W or H is up to the edge");
    private readonly Option<string> orientation = OptionOf.Orientation();
    private readonly Option<string> split = OptionOf.Choice("--split", "Part of a procedural set", ofModel ? "held-out" : "train", ofModel
        ? "train" : "held-out");

    public void AddTo(Command command)
    {
        if (!ofModel) command.Options.Add(size);
        command.Options.Add(start);
        command.Options.Add(count);
        command.Options.Add(baseFolder);
        command.Options.Add(crop);
        command.Options.Add(orientation);
        command.Options.Add(split);
    }

    /// <summary>Opens a set.</summary>
    /// <param name="result">The arguments.</param>
    /// <param name="source">What the user calls it.</param>
    /// <param name="seed">Of a procedural set.</param>
    /// <param name="defaultCount">Number of images where none is given; null for all.</param>
    /// <param name="modelSize">Width and height that the model takes.</param>
    /// <param name="strict">Whether what cannot be read is an error.</param>
    /// <exception cref="UsageException">An option does not fit.</exception>
    /// <exception cref="IOException">There is no such set.</exception>
    public ImageSet Open(ParseResult result, string source, uint seed, int? defaultCount = null, int? modelSize = null, bool strict = false)
    {
        return UsageException.Guard(() => ImageSets.Open(source, new ImageSetOptions
        {
            Size = ofModel ? modelSize : result.GetValue(size),
            Start = result.GetValue(start) ?? 0,
            Count = result.GetValue(count) ?? defaultCount,
            BaseFolder = result.GetValue(baseFolder),
            Crop = OptionOf.Crop(result.GetValue(crop)),
            Orientation = OptionOf.Orientation(result.GetRequiredValue(orientation)),
            Strict = strict,
            Seed = seed,
            Split = result.GetValue(split) == "held-out" ? Split.HeldOut : Split.Train,
        }));
    }
}
