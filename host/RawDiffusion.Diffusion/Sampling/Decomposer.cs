using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Engine;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>What <see cref="Decomposer"/> makes of B images; arrays are row-major, values in the model's own range.</summary>
/// <param name="Factors">[B, K, S, S, C]: each factor on its own.</param>
/// <param name="Reconstructions">[B, S, S, C]: the compositions of all factors.</param>
public sealed record Decomposition(float[] Factors, float[] Reconstructions);

/// <summary>
/// Samples all factors of images and their compositions: K + 1 trajectories for each image, a few images at once. An
/// image's result depends on its index among all images of the seed, and not on the other images.
/// </summary>
/// <param name="device">Device to run on.</param>
/// <param name="model">The network.</param>
/// <param name="transition">The steps.</param>
/// <param name="options">Clipping, seed; null for the usual ones and seed 0.</param>
/// <param name="guidance">Scale of classifier-free guidance; 1 for none.</param>
public sealed class Decomposer(IDevice device, DecompModel model, Transition transition, SamplerOptions? options = null, float guidance = 1)
{
    // Factor evaluations that are held in memory at once. The processor is busy with far fewer.
    private const int RowsAtOnce = 32;

    // The encoder's feature maps are small beside the U-Net's, and compiling it is dear beside running it.
    private const int EncodedAtOnce = 16;

    private readonly SamplerOptions options =
        (options ?? new SamplerOptions()) with { CompositionsOfImage = model.Config.NumComponents + 1 };
    private readonly int components = model.Config.NumComponents;
    private readonly int imageLength = model.Config.ImageSize * model.Config.ImageSize * model.Config.ImageChannels;

    /// <summary>Trajectories of one image: its K factors, then their composition.</summary>
    public int TrajectoriesOfImage => components + 1;

    /// <summary>Images that are sampled at once.</summary>
    public int ImagesAtOnce => Math.Max(1, RowsAtOnce / (2 * components));

    /// <summary>Steps of all images together, as <see cref="Sample"/> reports them.</summary>
    /// <param name="count">B, images.</param>
    public int TotalSteps(int count) => Parts(count, ImagesAtOnce).Count() * transition.Count;

    /// <summary>The latents of images.</summary>
    /// <param name="images">[B, S, S, C].</param>
    /// <param name="count">B, images.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>[B, K * E / 2].</returns>
    public float[] Encode(float[] images, int count, CancellationToken cancellation = default) =>
        [.. Parts(count, EncodedAtOnce).SelectMany(part =>
            model.Encode(device, images.AsSpan(part.First * imageLength, part.Count * imageLength), part.Count, cancellation))];

    /// <summary>Samples each image's factors and composition.</summary>
    /// <param name="latents">[B, K * E / 2].</param>
    /// <param name="count">B, images.</param>
    /// <param name="firstImage">Index of the first image among all of the seed, for the noise that steps add.</param>
    /// <param name="noise">Initial noise [S, S, C] by image and trajectory (0 to K - 1 factors, K composition).</param>
    /// <param name="stepDone">Called after each step.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    public Decomposition Sample(
        float[] latents, int count, int firstImage, Func<int, int, ReadOnlyMemory<float>> noise, Action? stepDone = null,
            CancellationToken cancellation = default)
    {
        var result = new Decomposition(new float[count * components * imageLength], new float[count * imageLength]);
        Sampler? sampler = null;
        int compiledFor = 0;
        try
        {
            foreach ((int first, int images) in Parts(count, ImagesAtOnce))
            {
                Composition[] compositions = [.. Enumerable.Range(first, images).SelectMany(image => Compositions(latents, image))];
                if (sampler is not null && compiledFor == images)
                {
                    sampler.Write(compositions);
                }
                else
                {
                    sampler?.Dispose();
                    sampler = new Sampler(device, [model.Denoiser], compositions, transition, options);
                    compiledFor = images;
                }
                float[] x = new float[compositions.Length * imageLength];
                for (int n = 0; n < compositions.Length; n++)
                    noise(first + n / TrajectoriesOfImage, n % TrajectoriesOfImage).Span.CopyTo(x.AsSpan(n * imageLength, imageLength));
                float[] sampled = sampler.Run(x, firstImage + first, stepDone is null ? null : _ => stepDone(), cancellation);
                for (int n = 0; n < compositions.Length; n++)
                {
                    (int image, int trajectory) = (first + n / TrajectoriesOfImage, n % TrajectoriesOfImage);
                    Span<float> to = trajectory < components
                        ? result.Factors.AsSpan((image * components + trajectory) * imageLength, imageLength)
                        : result.Reconstructions.AsSpan(image * imageLength, imageLength);
                    sampled.AsSpan(n * imageLength, imageLength).CopyTo(to);
                }
            }
        }
        finally
        {
            sampler?.Dispose();
        }
        return result;
    }

    /// <summary>Decomposes a picture and draws it in the model's size, its factors and their composition, side by side.</summary>
    /// <param name="picture">A picture of any size.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <exception cref="ArgumentException">The model's images have not 3 channels.</exception>
    public Image Draw(Image picture, CancellationToken cancellation = default) =>
        Draw([ImageResize.Resize(picture, model.Config.ImageSize, model.Config.ImageSize)], cancellation);

    /// <summary>Decomposes images, the first of the seed, and draws a row for each: the image, its factors, their composition.</summary>
    /// <param name="images">[S, S, 3] each.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <exception cref="ArgumentException">The model's images have not 3 channels.</exception>
    public Image Draw(IReadOnlyList<float[]> images, CancellationToken cancellation = default)
    {
        if (model.Config.ImageChannels != 3)
            throw new ArgumentException($"expected a model of pictures with 3 channels, found one with {model.Config.ImageChannels}");
        float[] latents = Encode([.. images.SelectMany(i => i)], images.Count, cancellation);
        Decomposition sampled = Sample(
            latents, images.Count, 0, (image, _) => ImageNoise.Initial(imageLength, options.Seed, image), null, cancellation);
        float[][] factors = [.. sampled.Factors.Chunk(imageLength)], compositions = [.. sampled.Reconstructions.Chunk(imageLength)];
        return ImageSheet.Of(model.Config.ImageSize, components + 2, [.. Enumerable.Range(0, images.Count).SelectMany(Row)]);

        IEnumerable<float[]> Row(int b) => [images[b], .. factors[(b * components)..((b + 1) * components)], compositions[b]];
    }

    /// <summary>What the trajectories of one image are made of: its factors, then the mean of them.</summary>
    /// <param name="latents">[B, K * E / 2].</param>
    /// <param name="image">Index below B.</param>
    public IEnumerable<Composition> Compositions(float[] latents, int image)
    {
        int width = model.Config.LatentDim;
        Composition[] factors = [.. Enumerable.Range(image * components, components)
            .Select(k => Composition.Of(new LatentCondition(latents.AsMemory(k * width, width))))];
        return factors.Append(Composition.Mean(factors)).Select(c => c.Guided(guidance));
    }

    // As few parts as fit, of sizes that differ by one at most, so that there are two compilations at most.
    private static IEnumerable<(int First, int Count)> Parts(int count, int atMost)
    {
        int parts = (count + atMost - 1) / atMost;
        for (int i = 0, first = 0; i < parts; i++)
        {
            int size = count / parts + (i < count % parts ? 1 : 0);
            yield return (first, size);
            first += size;
        }
    }
}
