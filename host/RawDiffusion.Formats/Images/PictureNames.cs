namespace RawDiffusion.Formats.Images;

/// <summary>Which files of a folder or tar file are pictures, by the endings of their names in small letters.</summary>
public static class PictureNames
{
    /// <summary>Endings of formats that <see cref="ImageFile"/> reads.</summary>
    public static IReadOnlyList<string> Endings { get; } = [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tga", ".ppm",
        ".pgm", ".pbm", ".pnm"];

    /// <summary>Endings of pictures that are not read.</summary>
    public static IReadOnlyList<string> RefusedEndings { get; } = [".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2"];

    /// <summary>Whether a name ends as a picture's does that is read.</summary>
    public static bool IsPicture(string path) => Endings.Contains(Path.GetExtension(path).ToLowerInvariant());

    /// <summary>Whether a name ends as a picture's does that is not read.</summary>
    public static bool IsRefused(string path) => RefusedEndings.Contains(Path.GetExtension(path).ToLowerInvariant());
}
