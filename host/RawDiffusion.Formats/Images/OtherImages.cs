namespace RawDiffusion.Formats.Images;

/// <summary>Formats that have no reader here; a build with -p:UseImageSharp=true has them from that library.</summary>
internal static class OtherImages
{
    /// <summary>Whether there are any.</summary>
    public static bool IsAvailable => false;

    /// <summary>Reads an image of another format.</summary>
    /// <exception cref="FileFormatException">Always: there is none.</exception>
    public static Image Read(FileContent file) =>
        throw file.Error($"expected a PNG, JPEG, PGM or PPM image, but the file starts with {Checkpoint.FirstBytes(file)}");
}
