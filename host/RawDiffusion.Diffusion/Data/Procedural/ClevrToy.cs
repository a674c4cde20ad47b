using System.Numerics;

namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>
/// Up to four shiny spheres on a gray ground, lit from above left, with shadows: one of each of four colour families. They stand
/// apart from each other on the ground, and may hide parts of each other. Each is there or not, independently of the others, so
/// that an image of one sphere, which is what a factor should be, is an image of the set. Rays: 3 x 3 a pixel.
/// </summary>
/// <remarks>The ground is the plane y = 0; x is to the right and z away from the camera. Attributes are in these units.</remarks>
internal sealed class ClevrToy(ProceduralOptions options) : ProceduralSet("clevr-toy", options, defaultSize: 64)
{
    private const int Spheres = 4;
    private const int RaysPerSide = 3;
    private const float Presence = 0.7f;
    private const float RadiusMin = 0.5f;
    private const float RadiusMax = 0.8f;
    private const float Gap = 0.15f;
    private const float Ambient = 0.35f;
    private const float Shininess = 40;

    // The camera looks at the middle of the ground where spheres stand; Zoom is the cotangent of half its angle of view.
    private static readonly Vector3 Camera = new(0, 4.8f, -6.4f);
    private static readonly Vector3 Forward = Vector3.Normalize(new Vector3(0, 0.2f, 0) - Camera);
    private static readonly Vector3 Up = Vector3.Cross(Forward, Vector3.UnitX);
    private const float Zoom = 2.45f;
    private static readonly Vector3 Light = Vector3.Normalize(new Vector3(-0.5f, 1, -0.45f));
    private static readonly (float From, float To) GroundX = (-2, 2);
    private static readonly (float From, float To) GroundZ = (-1.9f, 2.1f);

    /// <inheritdoc/>
    public override int Objects => Spheres;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames { get; } = ["x", "z", "radius", "red", "green", "blue", "visible"];

    private protected override void Paint(Draws draws, Scene scene)
    {
        Sphere[] spheres;
        do
        {
            spheres = [.. Enumerable.Range(0, Spheres).Select(k => Place(draws, k))];
        }
        while (!Apart(spheres));
        for (int k = 0; k < Spheres; k++)
        {
            if (draws.Between(0, 1) >= Presence) spheres[k] = spheres[k] with { Visible = false };
            Sphere s = spheres[k];
            scene.Describe(k, s.Centre.X, s.Centre.Z, s.Radius, s.Colour.Red, s.Colour.Green, s.Colour.Blue, s.Visible ? 1 : 0);
        }
        for (int pixel = 0; pixel < Size * Size; pixel++) Trace(spheres, scene, pixel);
    }

    private static Sphere Place(Draws draws, int k)
    {
        float radius = draws.Between(RadiusMin, RadiusMax);
        var centre = new Vector3(draws.Between(GroundX.From, GroundX.To), radius, draws.Between(GroundZ.From, GroundZ.To));
        return new Sphere(centre, radius, Colour.Draw(draws, k, Spheres), Visible: true);
    }

    private static bool Apart(Sphere[] spheres)
    {
        for (int i = 0; i < spheres.Length; i++)
        {
            for (int j = 0; j < i; j++)
            {
                if (Vector3.Distance(spheres[i].Centre, spheres[j].Centre) < spheres[i].Radius + spheres[j].Radius + Gap) return false;
            }
        }
        return true;
    }

    private void Trace(Sphere[] spheres, Scene scene, int pixel)
    {
        const float part = 1f / (RaysPerSide * RaysPerSide);
        Colour sum = default;
        for (int ray = 0; ray < RaysPerSide * RaysPerSide; ray++)
        {
            float x = 2 * (pixel % Size + (ray % RaysPerSide + 0.5f) / RaysPerSide) / Size - 1;
            float y = 1 - 2 * (pixel / Size + (ray / RaysPerSide + 0.5f) / RaysPerSide) / Size;
            var direction = Vector3.Normalize(Zoom * Forward + x * Vector3.UnitX + y * Up);
            int seen = Nearest(spheres, Camera, direction, out float distance);
            sum += seen < 0 ? Ground(spheres, direction) : Shade(spheres, seen, direction, distance);
            if (seen >= 0) scene.Masks[seen * Size * Size + pixel] += part;
        }
        Span<float> rgb = scene.Pixels.AsSpan(3 * pixel, 3);
        (rgb[0], rgb[1], rgb[2]) = (Math.Min(1, part * sum.Red), Math.Min(1, part * sum.Green), Math.Min(1, part * sum.Blue));
    }

    /// <summary>The camera looks down so far that each ray that misses the spheres meets the ground.</summary>
    private static Colour Ground(Sphere[] spheres, Vector3 direction)
    {
        Vector3 point = Camera - Camera.Y / direction.Y * direction;
        // Light from all sides is kept away near a sphere, more so the nearer.
        float open = 1;
        foreach (Sphere s in spheres)
        {
            if (!s.Visible) continue;
            float near = s.Radius * s.Radius / Vector3.DistanceSquared(point, s.Centre);
            open *= 1 - 0.6f * near * near;
        }
        float falloff = 1 / (1 + 0.015f * point.LengthSquared());
        float light = Ambient * open + (Lit(spheres, point, -1) ? (1 - Ambient) * Light.Y : 0);
        return 0.68f * falloff * light * new Colour(1, 1, 1);
    }

    private static Colour Shade(Sphere[] spheres, int seen, Vector3 direction, float distance)
    {
        Sphere s = spheres[seen];
        Vector3 point = Camera + distance * direction, normal = (point - s.Centre) / s.Radius;
        float facing = Vector3.Dot(normal, Light);
        float open = Ambient * (0.65f + 0.35f * normal.Y);
        if (facing <= 0 || !Lit(spheres, point, seen)) return open * s.Colour;
        float shine = MathF.Pow(Math.Max(0, Vector3.Dot(normal, Vector3.Normalize(Light - direction))), Shininess);
        return (open + (1 - Ambient) * facing) * s.Colour + 0.6f * shine * new Colour(1, 1, 1);
    }

    /// <summary>Whether light reaches a point, which may be on a sphere.</summary>
    private static bool Lit(Sphere[] spheres, Vector3 point, int on)
    {
        for (int i = 0; i < spheres.Length; i++)
        {
            if (i != on && float.IsFinite(spheres[i].Meet(point, Light))) return false;
        }
        return true;
    }

    private static int Nearest(Sphere[] spheres, Vector3 from, Vector3 direction, out float distance)
    {
        (int nearest, distance) = (-1, float.PositiveInfinity);
        for (int i = 0; i < spheres.Length; i++)
        {
            float met = spheres[i].Meet(from, direction);
            if (met < distance) (nearest, distance) = (i, met);
        }
        return nearest;
    }

    private readonly record struct Sphere(Vector3 Centre, float Radius, Colour Colour, bool Visible)
    {
        /// <summary>How far along a ray, from outside, the sphere is met; infinity where it is not, or is not there.</summary>
        public float Meet(Vector3 from, Vector3 direction)
        {
            if (!Visible) return float.PositiveInfinity;
            Vector3 offset = Centre - from;
            float along = Vector3.Dot(offset, direction);
            float root = Radius * Radius - (offset.LengthSquared() - along * along);
            return along > 0 && root >= 0 ? along - MathF.Sqrt(root) : float.PositiveInfinity;
        }
    }
}
