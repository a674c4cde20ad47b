namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>What a <see cref="Gaussians"/> image shows.</summary>
internal enum GaussianKind
{
    /// <summary>A bump at (x, y): g(x) g(y).</summary>
    Bumps,

    /// <summary>A sum of a vertical stripe at x and a horizontal one at y: (g(x) + g(y)) / 2.</summary>
    Sos,

    /// <summary>One of the two stripes of a sum, the other one outside the image: g(x) / 2 or g(y) / 2.</summary>
    Stripes,

    /// <summary>A sum or a single stripe, half of the images each.</summary>
    SosAndStripes,
}

/// <summary>
/// Dark Gaussian bumps, sums of stripes, and single stripes on white, of standard deviation 1 in a frame of 32 units, whose
/// pixel centres are 1 to 32. Source: "How Diffusion Models Learn to Factorize and Compose" (2408.13256), as far as its
/// abstract and captions tell; the amplitude 1/2 is chosen here, so that stripes add up to their sum.
/// </summary>
/// <remarks>
/// Positions are drawn from 0, 0.1 .. 32. Of bumps and sums, those with x or y from 13 to 19 are the held-out part and the others
/// the training part. Single stripes have all positions in both parts: composing the held-out sums is learned from them, together
/// with the other sums (<see cref="GaussianKind.SosAndStripes"/>).
/// A stripe's label is its position in a frame of 44 units that has margins of 6 units around the image, in which stripes are not seen.
/// </remarks>
internal sealed class Gaussians(string name, GaussianKind kind, bool periodic, ProceduralOptions options)
    : ProceduralSet(name, options, defaultSize: 32)
{
    private const float Frame = 32;
    private const float Margin = 6;
    private const float Sigma = 1;
    private const int StepsPerUnit = 10;
    private const float HeldOutFrom = 13;
    private const float HeldOutTo = 19;

    /// <inheritdoc/>
    public override int Objects => kind == GaussianKind.Bumps ? 1 : 2;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames { get; } = kind == GaussianKind.Bumps ? ["x", "y"]
        : ["label", "position", "visible"];

    private protected override void Paint(Draws draws, Scene scene)
    {
        bool single = kind == GaussianKind.Stripes || kind == GaussianKind.SosAndStripes && draws.Below(2) == 0;
        (float x, float y) = Position(draws, everywhere: single);
        // Which stripe is seen, and where in its margin the other one is.
        bool vertical = !single || draws.Below(2) == 0, horizontal = !single || !vertical;
        if (!vertical) x = InMargin(draws);
        if (!horizontal) y = InMargin(draws);
        float[] gx = Profile(x, vertical), gy = Profile(y, horizontal);
        for (int pixel = 0; pixel < Size * Size; pixel++)
        {
            (float a, float b) = (gx[pixel % Size], gy[pixel / Size]);
            float value = kind == GaussianKind.Bumps ? a * b : (a + b) / 2;
            scene.Pixels.AsSpan(3 * pixel, 3).Fill(1 - value);
            if (kind == GaussianKind.Bumps)
            {
                scene.Masks[pixel] = value;
            }
            else if (value > 0)
            {
                // Where stripes cross, each is seen in proportion.
                scene.Masks[pixel] = a * a / (a + b);
                scene.Masks[Size * Size + pixel] = b * b / (a + b);
            }
        }
        if (kind == GaussianKind.Bumps)
        {
            scene.Describe(0, x, y);
            return;
        }
        scene.Describe(0, x + Margin, x, vertical ? 1 : 0);
        scene.Describe(1, y + Margin, y, horizontal ? 1 : 0);
    }

    private (float X, float Y) Position(Draws draws, bool everywhere)
    {
        while (true)
        {
            (float x, float y) = (Coordinate(draws, 0, Frame), Coordinate(draws, 0, Frame));
            bool heldOut = x is >= HeldOutFrom and <= HeldOutTo || y is >= HeldOutFrom and <= HeldOutTo;
            if (everywhere || heldOut == (Split == Split.HeldOut)) return (x, y);
        }
    }

    /// <summary>A coordinate left or right of the image, not on its edge.</summary>
    private static float InMargin(Draws draws)
    {
        float beyond = Coordinate(draws, 0, 2 * Margin - 1f / StepsPerUnit);
        return beyond < Margin ? beyond - Margin : beyond - Margin + Frame + 1f / StepsPerUnit;
    }

    private static float Coordinate(Draws draws, float from, float to) =>
        from + draws.Below((int)MathF.Round((to - from) * StepsPerUnit) + 1) / (float)StepsPerUnit;

    /// <summary>g at each pixel of a row, 0 where the stripe is not seen.</summary>
    private float[] Profile(float centre, bool visible)
    {
        float[] profile = new float[Size];
        for (int i = 0; visible && i < Size; i++)
        {
            float distance = (i + 0.5f) * (Frame / Size) + 0.5f - centre;
            if (periodic) distance -= Frame * MathF.Round(distance / Frame);
            profile[i] = MathF.Exp(-distance * distance / (2 * Sigma * Sigma));
        }
        return profile;
    }
}
