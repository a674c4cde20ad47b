namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>An image that is being painted, with what is in it.</summary>
/// <param name="size">S, pixels a side.</param>
/// <param name="objects">M.</param>
/// <param name="attributes">A.</param>
internal sealed class Scene(int size, int objects, int attributes)
{
    /// <summary>S, pixels a side.</summary>
    public int Size => size;

    /// <summary>[S, S, 3]; black at first.</summary>
    public float[] Pixels { get; } = new float[3 * size * size];

    /// <summary>[M, S, S], see <see cref="GroundTruth.Masks"/>.</summary>
    public float[] Masks { get; } = new float[objects * size * size];

    /// <summary>[M, A].</summary>
    public float[] Attributes { get; } = new float[objects * attributes];

    /// <summary>Writes an object's row of <see cref="Attributes"/>.</summary>
    public void Describe(int k, params ReadOnlySpan<float> values) => values.CopyTo(Attributes.AsSpan(k * attributes, attributes));

    /// <summary>Paints an object over part of a pixel and what is there already.</summary>
    /// <param name="k">Object.</param>
    /// <param name="pixel">y S + x.</param>
    /// <param name="cover">Part of the pixel, from 0 to 1.</param>
    /// <param name="colour">The object's colour there.</param>
    public void Paint(int k, int pixel, float cover, Colour colour)
    {
        for (int below = 0; below < objects; below++) Masks[below * size * size + pixel] *= 1 - cover;
        Masks[k * size * size + pixel] += cover;
        Span<float> rgb = Pixels.AsSpan(3 * pixel, 3);
        rgb[0] += cover * (colour.Red - rgb[0]);
        rgb[1] += cover * (colour.Green - rgb[1]);
        rgb[2] += cover * (colour.Blue - rgb[2]);
    }
}
