namespace RawDiffusion.Diffusion.Evaluation;

/// <summary>The scores of one image.</summary>
/// <param name="Mse">Mean squared error of the reconstruction.</param>
/// <param name="Psnr">Its peak signal-to-noise ratio in dB.</param>
/// <param name="Ssim">Its structural similarity; NaN for an image that is smaller than the window.</param>
/// <param name="Masks">How factors and objects go together; null where the objects are unknown.</param>
public sealed record ImageScores(double Mse, double Psnr, double Ssim, MaskMatch? Masks);

/// <summary>What is in an image, for comparison with what a model makes of it.</summary>
/// <param name="Objects">Object of each pixel, <see cref="FactorMasks.Background"/> for none: [P].</param>
/// <param name="Attributes">[O, A]: what is known of each object.</param>
public sealed record KnownObjects(int[] Objects, double[,] Attributes);

/// <summary>
/// Scores decompositions image by image and sums them up. A reconstruction is clamped to [0, 1] before it is compared, as
/// it is when it is shown.
/// </summary>
/// <param name="components">K, factors of an image.</param>
/// <param name="channels">C, numbers of a pixel.</param>
/// <param name="size">S, pixels a side.</param>
/// <param name="maskThreshold">Threshold of <see cref="FactorMasks.Label"/>.</param>
public sealed class DecompositionScores(int components, int channels, int size, double maskThreshold = FactorMasks.DefaultThreshold)
{
    private readonly List<ImageScores> images = [];

    // By factor: its latent and the attributes of the object that it was matched with, for each image where there is one.
    private readonly List<(double[] Latent, double[] Attributes)>[] samples = [
        .. Enumerable.Range(0, components).Select(_ => new List<(double[], double[])>())];

    /// <summary>Scores in the order in which images were added.</summary>
    public IReadOnlyList<ImageScores> Images => images;

    /// <summary>Objects that are seen in any image.</summary>
    public int Objects => SeenIoU.Count();

    /// <summary>Share of them whose matched factor has an IoU above <see cref="MaskMetrics.FoundAbove"/>; NaN without any.</summary>
    public double Found => Mean(SeenIoU.Select(iou => iou > MaskMetrics.FoundAbove ? 1.0 : 0));

    /// <summary>Mean of their IoU; NaN without any.</summary>
    public double MeanIoU => Mean(SeenIoU);

    /// <summary>Mean over images that show objects; NaN without any.</summary>
    public double AriForeground => Mean(Matches.Select(m => m.AriForeground).Where(a => !double.IsNaN(a)));

    /// <summary>Mean over images with known objects; NaN without any.</summary>
    public double AriAll => Mean(Matches.Select(m => m.AriAll));

    /// <summary>Mean squared error, mean over images.</summary>
    public double Mse => Mean(images.Select(i => i.Mse));

    /// <summary>Peak signal-to-noise ratio in dB, mean over images.</summary>
    public double Psnr => Mean(images.Select(i => i.Psnr));

    /// <summary>Structural similarity, mean over images.</summary>
    public double Ssim => Mean(images.Select(i => i.Ssim));

    /// <summary>Pairs of a factor's latent and an object's attributes.</summary>
    public int AttributeSamples => samples.Sum(s => s.Count);

    /// <summary>
    /// <see cref="AttributeMetrics.Mig"/> of each factor's latents against the attributes of the objects that it was matched
    /// with, mean over the factors that have a value: latents of different factors are different codes. NaN without any.
    /// </summary>
    public double Mig => OverFactors(AttributeMetrics.Mig);

    /// <summary><see cref="AttributeMetrics.Mcc"/>, as <see cref="Mig"/>.</summary>
    public double Mcc => OverFactors(AttributeMetrics.Mcc);

    /// <summary>
    /// Object of each pixel from masks that say which part of it shows each object: the one that is seen in most of it, if
    /// that is more than shows the background; the first of equals.
    /// </summary>
    /// <param name="masks">[O, P], from 0 to 1; what a pixel's parts lack to 1 is background.</param>
    /// <param name="objects">O.</param>
    public static int[] LabelObjects(ReadOnlySpan<float> masks, int objects)
    {
        if (objects == 0) throw new ArgumentException("masks of no objects do not tell how many pixels there are");
        int[] labels = new int[masks.Length / objects];
        for (int p = 0; p < labels.Length; p++)
        {
            float rest = 1;
            for (int o = 0; o < objects; o++) rest -= masks[o * labels.Length + p];
            (labels[p], float most) = (FactorMasks.Background, rest);
            for (int o = 0; o < objects; o++)
            {
                float part = masks[o * labels.Length + p];
                if (part > most) (labels[p], most) = (o, part);
            }
        }
        return labels;
    }

    /// <summary>Scores one image's decomposition.</summary>
    /// <param name="input">[C, S, S], values in [0, 1].</param>
    /// <param name="factors">[K, C, S, S].</param>
    /// <param name="reconstruction">[C, S, S].</param>
    /// <param name="latents">[K, D].</param>
    /// <param name="known">What is in the image, or null.</param>
    /// <exception cref="ArgumentException">Sizes disagree.</exception>
    public ImageScores Add(
        ReadOnlySpan<float> input, ReadOnlySpan<float> factors, ReadOnlySpan<float> reconstruction, ReadOnlySpan<float> latents,
        KnownObjects? known)
    {
        if (factors.Length != components * input.Length)
            throw new ArgumentException($"{factors.Length} values are not {components} factors of {input.Length} values");
        float[] shown = new float[reconstruction.Length];
        for (int i = 0; i < shown.Length; i++) shown[i] = Math.Clamp(reconstruction[i], 0, 1);
        double mse = ReconstructionMetrics.Mse(input, shown);
        MaskMatch? match = known is null ? null
            : MaskMetrics.Match(FactorMasks.Label(factors, components, channels, maskThreshold), components, known.Objects,
            known.Attributes.GetLength(0));
        var scores = new ImageScores(
            mse, ReconstructionMetrics.Psnr(mse), ReconstructionMetrics.Ssim(input, shown, channels, size, size), match);
        if (known is not null) AddSamples(latents, known.Attributes, match!.FactorOf);
        images.Add(scores);
        return scores;
    }

    private IEnumerable<MaskMatch> Matches => images.Select(i => i.Masks).OfType<MaskMatch>();

    private IEnumerable<double> SeenIoU => Matches.SelectMany(m => m.IoU).Where(iou => !double.IsNaN(iou));

    private void AddSamples(ReadOnlySpan<float> latents, double[,] attributes, int[] factorOf)
    {
        int width = latents.Length / components;
        for (int o = 0; o < factorOf.Length; o++)
        {
            if (factorOf[o] < 0) continue;
            double[] latent = [.. latents.Slice(factorOf[o] * width, width).ToArray().Select(v => (double)v)];
            samples[factorOf[o]].Add((latent, [.. Enumerable.Range(0, attributes.GetLength(1)).Select(a => attributes[o, a])]));
        }
    }

    private double OverFactors(Func<double[,], double[,], double> metric) => Mean(samples
        .Where(s => s.Count > 0)
        .Select(s => metric(Matrix([.. s.Select(r => r.Latent)]), Matrix([.. s.Select(r => r.Attributes)])))
        .Where(v => !double.IsNaN(v)));

    private static double[,] Matrix(double[][] rows)
    {
        double[,] m = new double[rows.Length, rows[0].Length];
        for (int i = 0; i < rows.Length; i++)
            for (int j = 0; j < rows[i].Length; j++) m[i, j] = rows[i][j];
        return m;
    }

    private static double Mean(IEnumerable<double> values) => values.DefaultIfEmpty(double.NaN).Average();
}
