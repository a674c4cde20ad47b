namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>A colour, each part in [0, 1].</summary>
internal readonly record struct Colour(float Red, float Green, float Blue)
{
    // Families stay apart: their hues are 120 or 90 degrees from each other, and none is gray.
    private const float HueJitter = 15;
    private const float SaturationMin = 0.85f;
    private const float ValueMin = 0.75f;

    /// <summary>
    /// A colour of one of some families, which lie evenly around the colour wheel: of 3, reddish, greenish, bluish. An
    /// object's family is what tells it from the others, so that a factorisation into objects is identifiable.
    /// </summary>
    public static Colour Draw(Draws draws, int family, int families)
    {
        float hue = 360f * family / families + draws.Between(-HueJitter, HueJitter);
        return FromHsv(hue, draws.Between(SaturationMin, 1), draws.Between(ValueMin, 1));
    }

    public static Colour operator *(float scale, Colour c) => new(scale * c.Red, scale * c.Green, scale * c.Blue);

    public static Colour operator +(Colour a, Colour b) => new(a.Red + b.Red, a.Green + b.Green, a.Blue + b.Blue);

    private static Colour FromHsv(float hue, float saturation, float value)
    {
        return new Colour(Part(5), Part(3), Part(1));

        float Part(int n)
        {
            float k = (n + hue / 60 + 6) % 6;
            return value - value * saturation * Math.Clamp(Math.Min(k, 4 - k), 0, 1);
        }
    }
}
