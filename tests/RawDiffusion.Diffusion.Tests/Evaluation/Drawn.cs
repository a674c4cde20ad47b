using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

/// <summary>The inputs of tools/evaluation_goldens.py: the same numbers from the same names.</summary>
internal static class Drawn
{
    /// <summary>Element i of a stream of numbers in [0, 1).</summary>
    public static double Uniform(string name, int i) =>
        (ClosedFormWeights.Hash32(ClosedFormWeights.Fnv1a32(name) + (uint)i * 2654435761) >> 8) / (double)(1 << 24);

    /// <summary>Ramps [C, H, W]; with a name, those dimmed and with noise.</summary>
    public static float[] Image(int channels, int height, int width, string? name = null)
    {
        float[] image = new float[channels * height * width];
        for (int i = 0; i < image.Length; i++)
        {
            int t = (3 * (i % width) + 2 * (i / width % height) + 8 * (i / width / height)) % 32;
            double ramp = Math.Min(t, 32 - t) / 16.0;
            image[i] = (float)(name is null ? ramp : 0.75 * ramp + 0.25 * Uniform(name, i));
        }
        return image;
    }

    /// <summary>Labels from -1 to kinds - 2.</summary>
    public static int[] Labels(string name, int count, int kinds) =>
        [.. Enumerable.Range(0, count).Select(i => (int)(Uniform(name, i) * kinds) - 1)];

    /// <summary>Standard normal numbers, [rows, columns].</summary>
    public static float[] Normal(string name, int count) => [.. Enumerable.Range(0, count).Select(i =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - Uniform(name, 2 * i))) * Math.Cos(2 * Math.PI * Uniform(name, 2 * i + 1))))];
}
