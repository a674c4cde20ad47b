using RawDiffusion.Diffusion.Data.Procedural;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>Opens a set by what a user calls it.</summary>
public static class ImageSets
{
    /// <summary>S of pictures where no size is asked for.</summary>
    public const int DefaultSize = 64;

    /// <summary>
    /// Opens, in this order: with a base folder, one of the <see cref="AuthorsLayouts"/>; a procedural set by name; a packed set
    /// (<c>.pack</c>); tar files (<c>.tar</c>, <c>.tar.gz</c>, <c>.tgz</c>, also as a pattern); pictures by a pattern; a folder that
    /// <c>dataset make</c> wrote; a folder of pictures. Patterns are <see cref="BracePattern"/> and <see cref="GlobPattern"/>; what is
    /// there by that very name is taken as it is.
    /// </summary>
    /// <param name="source">The name, path or pattern. A folder that is called like a procedural set is given as <c>./tetris</c>.</param>
    /// <param name="options">Size, part, crop.</param>
    /// <exception cref="ArgumentException">An option does not fit the source.</exception>
    /// <exception cref="IOException">There is nothing, or nothing in it.</exception>
    /// <exception cref="Formats.FileFormatException">A packed set or tar file is damaged.</exception>
    public static ImageSet Open(string source, ImageSetOptions options)
    {
        ImageSet set = OpenAll(source, options);
        if (!options.Strict || set.PassedOver.Groups.FirstOrDefault(g => g.IsLoss) is not { } loss) return set;
        set.Dispose();
        throw new IOException($"{source}: expected pictures that can all be read, found {loss}");
    }

    private static ImageSet OpenAll(string source, ImageSetOptions options)
    {
        bool procedural = options.BaseFolder is null && ProceduralSet.Names.Contains(source);
        if (options.Crop is not null && (procedural || options.BaseFolder is not null))
            throw new ArgumentException($"the data set {source} has its own images: expected no crop");
        if (procedural) return OpenProcedural(source, options);
        if (options.BaseFolder is { } folder && source == "faces")
            return AuthorsLayouts.OpenFaces(folder, options.Size ?? DefaultSize, options.Count);
        ImageSet set = options.BaseFolder is not null ? AuthorsLayouts.Open(source, options.BaseFolder, options.Size ?? DefaultSize)
            : OpenFiles(source, options);
        return options.Start == 0 && options.Count is null ? set : new ImageRange(set, options.Start, options.Count ?? int.MaxValue);
    }

    private static readonly string[] TarEndings = [".tar", ".tar.gz", ".tgz"];

    private static ImageSet OpenProcedural(string name, ImageSetOptions options)
    {
        int count = options.Count ?? ProceduralSet.DefaultCount;
        var set = ProceduralSet.Create(name, new ProceduralOptions(options.Seed, options.Split, options.Start + count, options.Size));
        return options.Start == 0 ? set : new ImageRange(set, options.Start, count);
    }

    private static ImageSet OpenFiles(string source, ImageSetOptions options)
    {
        int size = options.Size ?? DefaultSize;
        string extension = Path.GetExtension(source).ToLowerInvariant();
        if (extension == PackedSet.Extension && File.Exists(source)) return OpenPacked(source, options);
        if (File.Exists(Path.Combine(source, MadeSet.TableName))) return OpenMade(source, options);
        IReadOnlyList<string> sources = File.Exists(source) || Directory.Exists(source) ? [source] : BracePattern.Expand(source);
        if (sources.Any(IsTar)) return TarSet.Open(source, [.. sources.SelectMany(Shards)], size, options.Crop, options.Orientation);
        if (sources is not [var only] || File.Exists(only) || Directory.Exists(only) || GlobPattern.Is(only))
            return FileSet.Open(source, sources, size, options.Crop, options.Orientation);
        throw new IOException($"expected a folder of pictures, a pattern, a .tar, .tar.gz or {PackedSet.Extension} file, or a "
            + "procedural set " +
            $"({string.Join(", ", ProceduralSet.Names)}), found no '{source}'");
    }

    private static bool IsTar(string path) => !Directory.Exists(path)
        && TarEndings.Any(e => path.EndsWith(e, StringComparison.OrdinalIgnoreCase));

    private static IReadOnlyList<string> Shards(string source)
    {
        if (File.Exists(source) || !GlobPattern.Is(source)) return [source];
        var passedOver = new PassedOver();
        IReadOnlyList<string> found = GlobPattern.Files(source, passedOver);
        if (found.Count > 0 && passedOver.Groups.FirstOrDefault(g => g.IsLoss) is not { Count: > 0 }) return found;
        throw new IOException($"expected tar files that {source} matches, found "
            + $"{(found.Count == 0 ? "none" : found.Count)}{FileSet.And(passedOver)}");
    }

    private static MadeSet OpenMade(string folder, ImageSetOptions options) => options.Crop is null
        ? MadeSet.Open(folder, options.Size)
        : throw new ArgumentException($"{folder} was made with masks of its whole images: expected no crop");

    private static PackedSet OpenPacked(string path, ImageSetOptions options)
    {
        var set = PackedSet.Open(path);
        if (options.Crop is null && (options.Size is null || options.Size == set.Size)) return set;
        set.Dispose();
        throw new ArgumentException($"{path} has images of {set.Size} x {set.Size} pixels: expected that size, and no crop");
    }
}

/// <summary>How a set is opened; see <see cref="ImageSets.Open"/>.</summary>
public sealed record ImageSetOptions
{
    /// <summary>S, or null for the source's own, else 64.</summary>
    public int? Size { get; init; }

    /// <summary>The first image to use: held-out pictures are a range that training does not use.</summary>
    public int Start { get; init; }

    /// <summary>How many images to use; null for all.</summary>
    public int? Count { get; init; }

    /// <summary>The authors' <c>base_dir</c>, for their data sets by name.</summary>
    public string? BaseFolder { get; init; }

    /// <summary>Part of each picture to use; null for all of it.</summary>
    public ImageCrop? Crop { get; init; }

    /// <summary>What to do with pictures that a camera has turned.</summary>
    public ImageOrientation Orientation { get; init; }

    /// <summary>Whether a file or folder that cannot be read, and may hold pictures, is an error.</summary>
    public bool Strict { get; init; }

    /// <summary>Of procedural sets.</summary>
    public uint Seed { get; init; }

    /// <summary>Of procedural sets; pictures are split by <see cref="Start"/> and <see cref="Count"/>.</summary>
    public Split Split { get; init; }
}
