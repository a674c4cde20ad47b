using System.Globalization;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Picture files of any size, each cropped and resized as the authors' pipeline does: read, crop, <see cref="ImageResize"/>, the first
/// three channels.
/// </summary>
public sealed class FileSet : ImageSet
{
    /// <summary>Endings of the names of pictures, in small letters.</summary>
    public static IReadOnlyList<string> Extensions { get; } = [".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tga", ".ppm", ".pgm", ".pnm"];

    private readonly IReadOnlyList<string> paths;
    private readonly ImageCrop? crop;

    /// <summary>A set of files.</summary>
    /// <param name="name">What errors call the set.</param>
    /// <param name="paths">The files in the set's order; one may be there more than once.</param>
    /// <param name="size">S.</param>
    /// <param name="crop">Part of each to use, or null.</param>
    public FileSet(string name, IReadOnlyList<string> paths, int size, ImageCrop? crop = null) : base(name, paths.Count, size) => (this.paths, this.crop) = (paths, crop);

    /// <summary>Paths, lengths and times of the files, the crop and the size.</summary>
    /// <exception cref="IOException">A file is gone.</exception>
    public override string Identity => string.Create(CultureInfo.InvariantCulture,
        $"files of {Size} pixels, {Describe(crop)}\n{string.Join('\n', paths.Select(Stamp))}");

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => paths;

    /// <summary>The pictures below a folder, sorted by path.</summary>
    /// <exception cref="IOException">There is no such folder, or no picture in it.</exception>
    public static FileSet InFolder(string folder, int size, ImageCrop? crop = null)
    {
        if (!Directory.Exists(folder)) throw new DirectoryNotFoundException($"expected a folder of pictures at {folder}, found none");
        return Of(folder, [.. GlobPattern.Files(Path.Combine(folder, "**")).Where(IsPicture)], $"{folder}, or folders below it", size, crop);
    }

    /// <summary>The files that a pattern matches, sorted by path; see <see cref="GlobPattern"/>.</summary>
    /// <exception cref="IOException">There is none.</exception>
    public static FileSet Matching(string pattern, int size, ImageCrop? crop = null) =>
        Of(pattern, [.. GlobPattern.Files(pattern).Where(IsPicture)], $"{pattern} (as a pattern)", size, crop);

    /// <summary>Whether a name ends as a picture's does.</summary>
    public static bool IsPicture(string path) => Extensions.Contains(Path.GetExtension(path).ToLowerInvariant());

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels) => Decode(ImageFile.Read(paths[index]), crop, Size, paths[index]).CopyTo(pixels);

    /// <inheritdoc/>
    public override string NameOf(int index) => paths[index];

    /// <summary>A picture as the set has it: [S, S, 3].</summary>
    internal static float[] Decode(Image image, ImageCrop? crop, int size, string name) =>
        ImageResize.Resize(crop is null ? image : crop.Of(image, name), size, size);

    /// <summary>The error of a set without pictures.</summary>
    /// <param name="where">Where they were looked for.</param>
    internal static IOException Empty(string where) => new($"expected pictures ({string.Join(", ", Extensions)}) in {where}, found none");

    /// <summary>What tells a file from a later one of its name.</summary>
    internal static string Stamp(string path)
    {
        var file = new FileInfo(path);
        return string.Create(CultureInfo.InvariantCulture, $"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}");
    }

    /// <summary>A crop in words.</summary>
    internal static string Describe(ImageCrop? crop) => crop is null ? "whole" : $"cropped to {crop.X},{crop.Y},{crop.Width},{crop.Height}";

    private static FileSet Of(string name, IReadOnlyList<string> paths, string where, int size, ImageCrop? crop) =>
        paths.Count > 0 ? new FileSet(name, paths, size, crop) : throw Empty(where);
}
