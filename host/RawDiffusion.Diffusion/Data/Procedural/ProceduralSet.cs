namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>
/// Images that are drawn when they are asked for, from (seed, split, index) alone: there are no files, and what is in each
/// image is known.
/// </summary>
public abstract class ProceduralSet : ImageSet
{
    /// <summary>Images of a set where no number is asked for.</summary>
    public const int DefaultCount = 1_000_000;

    private readonly uint seed;

    private protected ProceduralSet(string name, ProceduralOptions options, int defaultSize)
        : base(name, options.Count, options.Size ?? defaultSize) =>
        (seed, Split) = (options.Seed, options.Split);

    /// <summary>Names that <see cref="Create"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["tetris", "clevr-toy", "shapes", "bumps", "sos", "stripes", "sos+stripes", "periodic-bumps", "periodic-sos", "periodic-stripes"];

    /// <summary>Which part this is.</summary>
    public Split Split { get; }

    /// <inheritdoc/>
    public sealed override string Identity => $"{Name} of {Size} pixels, {Count} images, {Split}, seed {seed}";

    /// <summary>Makes a set by name.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="options">Seed, part, number, size.</param>
    /// <exception cref="ArgumentException">There is no such set, or it has no images of that size.</exception>
    public static ProceduralSet Create(string name, ProceduralOptions options) => name switch
    {
        "tetris" => new Tetris(options),
        "clevr-toy" => new ClevrToy(options),
        "shapes" => new Shapes(options),
        "bumps" or "sos" or "stripes" => new Gaussians(name, Enum.Parse<GaussianKind>(name, ignoreCase: true), periodic: false, options),
        "sos+stripes" => new Gaussians(name, GaussianKind.SosAndStripes, periodic: false, options),
        "periodic-bumps" or "periodic-sos" or "periodic-stripes" =>
            new Gaussians(name, Enum.Parse<GaussianKind>(name["periodic-".Length..], ignoreCase: true), periodic: true, options),
        _ => throw new ArgumentException($"expected a procedural set ({string.Join(", ", Names)}), found '{name}'"),
    };

    /// <inheritdoc/>
    public sealed override void Load(int index, Span<float> pixels) => Draw(index).Pixels.CopyTo(pixels);

    /// <inheritdoc/>
    public sealed override GroundTruth TruthOf(int index)
    {
        Scene scene = Draw(index);
        return new GroundTruth(scene.Masks, scene.Attributes);
    }

    /// <inheritdoc/>
    public sealed override string NameOf(int index) => $"{Name} {index}";

    /// <summary>Paints an image.</summary>
    private protected abstract void Paint(Draws draws, Scene scene);

    private Scene Draw(int index)
    {
        if (index < 0 || index >= Count)
            throw new ArgumentOutOfRangeException(nameof(index), $"{Name} has {Count} images, and none at {index}");
        var scene = new Scene(Size, Objects, AttributeNames.Count);
        Paint(new Draws(seed, Split, index), scene);
        return scene;
    }
}

/// <summary>Which images of a procedural set.</summary>
/// <param name="Seed">Of everything that is drawn.</param>
/// <param name="Split">The part; no image is in both.</param>
/// <param name="Count">N.</param>
/// <param name="Size">S, or null for the set's own: 32, for clevr-toy 64.</param>
public sealed record ProceduralOptions(uint Seed = 0, Split Split = Split.Train, int Count = ProceduralSet.DefaultCount, int? Size = null);
