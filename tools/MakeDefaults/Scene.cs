using System.Numerics;
using RawDiffusion.Formats.Images;

namespace MakeDefaults;

/// <summary>A picture to try the command on: four shaded balls on a grey floor, by ray casting.</summary>
internal static class Scene
{
    private const int Samples = 4; // a side of a pixel, against jagged edges

    private static readonly Vector3 Haze = new(0.45f);
    private static readonly Vector3 Eye = new(0, 3.2f, -6);
    private static readonly Vector3 Light = Vector3.Normalize(new Vector3(-0.5f, 1, -0.6f));

    private static readonly (Vector3 Centre, float Radius, Vector3 Colour, float Shine)[] Balls =
    [
        (new(-1.5f, 0.7f, 0.2f), 0.7f, new(0.75f, 0.12f, 0.12f), 0.7f),
        (new(1.3f, 0.9f, 1.2f), 0.9f, new(0.12f, 0.3f, 0.75f), 0.2f),
        (new(0.3f, 0.45f, -1.2f), 0.45f, new(0.85f, 0.75f, 0.1f), 0.7f),
        (new(-0.5f, 0.6f, 2.6f), 0.6f, new(0.1f, 0.6f, 0.3f), 0.2f),
    ];

    public static Image Render(int size)
    {
        var samples = new byte[3 * size * size];
        for (int y = 0; y < size; y++)
        {
            for (int x = 0; x < size; x++)
            {
                Vector3 sum = Vector3.Zero;
                for (int i = 0; i < Samples * Samples; i++)
                    sum += Colour((x + (i % Samples + 0.5f) / Samples) / size, (y + (i / Samples + 0.5f) / Samples) / size);
                Vector3 colour = Vector3.Min(sum / (Samples * Samples), Vector3.One) * 255;
                for (int c = 0; c < 3; c++) samples[3 * (y * size + x) + c] = (byte)(colour[c] + 0.5f);
            }
        }
        return new Image(size, size, 3, 8, samples);
    }

    private static Vector3 Colour(float u, float v)
    {
        Vector3 forward = Vector3.Normalize(new Vector3(0, 0.3f, 0.6f) - Eye);
        Vector3 right = Vector3.Normalize(Vector3.Cross(Vector3.UnitY, forward));
        Vector3 up = Vector3.Cross(forward, right);
        Vector3 ray = Vector3.Normalize(forward + 0.8f * ((u - 0.5f) * right + (0.5f - v) * up));

        (float distance, int ball) = Nearest(Eye, ray);
        float floor = ray.Y < 0 ? -Eye.Y / ray.Y : float.PositiveInfinity;
        if (ball < 0 && float.IsPositiveInfinity(floor)) return Haze;
        bool onFloor = floor < distance;
        Vector3 point = Eye + Math.Min(floor, distance) * ray;
        Vector3 normal = onFloor ? Vector3.UnitY : Vector3.Normalize(point - Balls[ball].Centre);
        bool lit = Nearest(point + 1e-3f * normal, Light).Ball < 0;
        float diffuse = lit ? Math.Max(0, Vector3.Dot(normal, Light)) : 0;
        if (onFloor) return Vector3.Lerp(Haze, new Vector3(0.28f + 0.3f * diffuse), MathF.Exp(-0.01f * point.LengthSquared()));
        float highlight = lit ? MathF.Pow(Math.Max(0, Vector3.Dot(Vector3.Reflect(ray, normal), Light)), 30) : 0;
        return Balls[ball].Colour * (0.35f + 0.85f * diffuse) + new Vector3(Balls[ball].Shine * highlight);
    }

    private static (float Distance, int Ball) Nearest(Vector3 origin, Vector3 ray)
    {
        (float distance, int ball) = (float.PositiveInfinity, -1);
        for (int i = 0; i < Balls.Length; i++)
        {
            Vector3 to = Balls[i].Centre - origin;
            float along = Vector3.Dot(to, ray);
            float squared = along * along - to.LengthSquared() + Balls[i].Radius * Balls[i].Radius;
            float hit = along - MathF.Sqrt(Math.Max(squared, 0));
            if (squared >= 0 && hit > 0 && hit < distance) (distance, ball) = (hit, i);
        }
        return (distance, ball);
    }
}
