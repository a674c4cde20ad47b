using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>
/// The noise of images under a seed. All images of a seed follow each other in the streams, so that each has noise of its own, whatever
/// images it is sampled with: image n is elements n * H * W * C and on.
/// </summary>
public static class ImageNoise
{
    // Streams of random numbers under a seed: of x_T, and of what each step adds.
    private const uint InitialStream = 0, StepStream = 1;

    /// <summary>x_T of an image, row-major.</summary>
    /// <param name="length">H * W * C.</param>
    /// <param name="seed">User's seed.</param>
    /// <param name="image">Index of the image among all of the seed.</param>
    public static float[] Initial(int length, uint seed, long image)
    {
        float[] values = new float[length];
        Philox.Normal(values, image * length, 0, seed, InitialStream);
        return values;
    }

    /// <summary>Appends the noise that a step adds to images which follow each other.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="images">[B, H, W, C].</param>
    /// <param name="step">Number of the step [1].</param>
    /// <param name="seed">User's seed.</param>
    /// <param name="first">Index of the first image among all of the seed [1], an integer.</param>
    internal static Value OfStep(Graph g, Shape images, Value step, uint seed, Value first) =>
        g.RandomNormal(images, step, seed, StepStream, first: first);
}
