namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>
/// Up to three sprites apart from each other, on dark gray: a reddish, a greenish, a bluish one, each a disc, a square or a
/// triangle at any place and scale. Edges are smooth over one pixel. Each sprite is there or not, independently of the others, so
/// that an image of one sprite, which is what a factor should be, is an image of the set.
/// </summary>
internal sealed class Shapes(ProceduralOptions options) : ProceduralSet("shapes", options, defaultSize: 32)
{
    private const int Sprites = 3;
    private const int Kinds = 3;

    private const float Background = 0.25f;
    private const float Presence = 0.7f;

    // Radii of the circle around a sprite, as parts of the image's side, and the gap between two circles in pixels.
    private const float RadiusMin = 0.125f;
    private const float RadiusMax = 0.2f;
    private const float Gap = 1;

    /// <inheritdoc/>
    public override int Objects => Sprites;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames { get; } = ["shape", "x", "y", "radius", "red", "green", "blue", "visible"];

    private protected override void Paint(Draws draws, Scene scene)
    {
        scene.Pixels.AsSpan().Fill(Background);
        (float X, float Y, float Radius)[] places;
        do
        {
            places = [.. Enumerable.Range(0, Sprites).Select(_ => Place(draws))];
        }
        while (!Apart(places));
        for (int k = 0; k < Sprites; k++)
        {
            (float x, float y, float radius) = places[k];
            int shape = draws.Below(Kinds);
            var colour = Colour.Draw(draws, k, Sprites);
            bool visible = draws.Between(0, 1) < Presence;
            scene.Describe(k, shape, x, y, radius, colour.Red, colour.Green, colour.Blue, visible ? 1 : 0);
            if (!visible) continue;
            for (int pixel = 0; pixel < Size * Size; pixel++)
            {
                float cover = 0.5f - Distance(shape, pixel % Size + 0.5f - x, pixel / Size + 0.5f - y, radius);
                if (cover > 0) scene.Paint(k, pixel, Math.Min(cover, 1), colour);
            }
        }
    }

    private (float X, float Y, float Radius) Place(Draws draws)
    {
        float radius = Size * draws.Between(RadiusMin, RadiusMax);
        return (draws.Between(radius, Size - radius), draws.Between(radius, Size - radius), radius);
    }

    private static bool Apart((float X, float Y, float Radius)[] places)
    {
        for (int i = 0; i < places.Length; i++)
        {
            for (int j = 0; j < i; j++)
            {
                (float dx, float dy) = (places[i].X - places[j].X, places[i].Y - places[j].Y);
                if (MathF.Sqrt(dx * dx + dy * dy) < places[i].Radius + places[j].Radius + Gap) return false;
            }
        }
        return true;
    }

    /// <summary>
    /// How far outside a sprite's edge a point lies, in pixels; negative inside. Each sprite is inside a circle of the radius.
    /// </summary>
    private static float Distance(int shape, float x, float y, float radius) => shape switch
    {
        0 => MathF.Sqrt(x * x + y * y) - radius,
        1 => Math.Max(Math.Abs(x), Math.Abs(y)) - radius * 0.70710678f,
        _ => Math.Max(y, 0.8660254f * Math.Abs(x) - 0.5f * y) - radius / 2,
    };
}
