using RawDiffusion.Cli.Inputs;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Evaluation;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli;

/// <summary>What is found on a set of images: scores, and the images themselves for comparisons and for the sheet.</summary>
/// <param name="set">The set.</param>
/// <param name="config">The model.</param>
/// <param name="maskThreshold">Threshold of <see cref="FactorMasks.Label"/>.</param>
/// <param name="sheetRows">Images on the sheet at most.</param>
internal sealed class SetEvaluation(ImageSet set, UNetConfig config, double maskThreshold, int sheetRows)
{
    private readonly List<int> indices = [];
    private readonly List<float[]> tiles = [];
    private readonly List<float> inputs = [];
    private readonly List<float> reconstructions = [];

    /// <summary>Scores of all images so far.</summary>
    public DecompositionScores Scores { get; } = new(config.NumComponents, 3, config.ImageSize, maskThreshold);

    /// <summary>Pictures that are measured.</summary>
    public ImageSet Set => set;

    /// <summary>What the set is called.</summary>
    public string Name => set.Name;

    /// <summary>What is known of each object.</summary>
    public IReadOnlyList<string> AttributeNames => set.AttributeNames;

    /// <summary>Whether the set knows what is in its images.</summary>
    public bool KnowsObjects => set.Objects > 0;

    /// <summary>Threshold of the masks.</summary>
    public double MaskThreshold => maskThreshold;

    /// <summary>Pixels a side of the model's images.</summary>
    public int Size => config.ImageSize;

    /// <summary>Images that were evaluated.</summary>
    public int Count => indices.Count;

    /// <summary>Images that could not be read.</summary>
    public int LeftOut { get; set; }

    /// <summary>[N, S, S, 3].</summary>
    public float[] Inputs => [.. inputs];

    /// <summary>[N, S, S, 3], as the model has them.</summary>
    public float[] Reconstructions => [.. reconstructions];

    /// <summary>LPIPS of each image, where it was asked for.</summary>
    public double[]? Lpips { get; set; }

    /// <summary>FID between images and reconstructions, where it was asked for.</summary>
    public double? Fid { get; set; }

    /// <summary>KID, mean and standard deviation over subsets, where it was asked for.</summary>
    public (double Mean, double Deviation)? Kid { get; set; }

    /// <summary>The reconstructions clamped to [0, 1].</summary>
    public float[] Shown() => [.. reconstructions.Select(v => Math.Clamp(v, 0, 1))];

    /// <summary>What an image is called.</summary>
    public string NameOf(int position) => set.NameOf(indices[position]);

    /// <summary>Scores decompositions.</summary>
    /// <param name="images">Index in the set, [S, S, 3], and what is known to be in it, of each image.</param>
    /// <param name="latents">[N, K * D].</param>
    /// <param name="sampled">What was made of them.</param>
    public void Add(IReadOnlyList<(int Index, float[] Pixels, GroundTruth? Truth)> images, float[] latents, Decomposition sampled)
    {
        int length = 3 * Size * Size, components = config.NumComponents, width = components * config.LatentDim;
        for (int i = 0; i < images.Count; i++)
        {
            (int index, float[] pixels, GroundTruth? truth) = images[i];
            float[] factors = sampled.Factors[(i * components * length)..((i + 1) * components * length)];
            float[] reconstruction = sampled.Reconstructions[(i * length)..((i + 1) * length)];
            Scores.Add(Planes(pixels), Planes(factors), Planes(reconstruction), latents.AsSpan(i * width, width), Known(truth));
            indices.Add(index);
            inputs.AddRange(pixels);
            reconstructions.AddRange(reconstruction);
            if (indices.Count <= sheetRows) tiles.AddRange([pixels, .. factors.Chunk(length), reconstruction]);
        }
    }

    /// <summary>The first images in rows: input, factors, reconstruction.</summary>
    public Image Sheet() => ImageSheet.Of(Size, config.NumComponents + 2, tiles);

    private float[] Planes(float[] pixels) => Layout.ToNchw(pixels, 3, Size * Size);

    private KnownObjects? Known(GroundTruth? truth)
    {
        if (set.Objects == 0 || truth is null) return null;
        double[,] attributes = new double[set.Objects, set.AttributeNames.Count];
        for (int i = 0; i < truth.Attributes.Length; i++)
            attributes[i / set.AttributeNames.Count, i % set.AttributeNames.Count] = truth.Attributes[i];
        return new KnownObjects(DecompositionScores.LabelObjects(truth.Masks, set.Objects), attributes);
    }
}
