using System.Globalization;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Picture files of any size, each cropped and resized as the authors' pipeline does: read, crop, <see cref="ImageResize"/>, the first
/// three channels.
/// </summary>
public sealed class FileSet : ImageSet
{
    private readonly IReadOnlyList<string> paths;
    private readonly ImageCrop? crop;
    private readonly ImageOrientation orientation;

    /// <summary>A set of files.</summary>
    /// <param name="name">What errors call the set.</param>
    /// <param name="paths">The files in the set's order; one may be there more than once.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="crop">Part of each to use, or null.</param>
    /// <param name="orientation">What to do with pictures that a camera has turned.</param>
    public FileSet(string name, IReadOnlyList<string> paths, int size, ImageCrop? crop = null,
        ImageOrientation orientation = ImageOrientation.Exif)
        : base(name, paths.Count, size) => (this.paths, this.crop, this.orientation) = (paths, crop, orientation);

    /// <summary>Real paths, lengths and times of the files, the crop and the size: links stand for what they lead to.</summary>
    public override string Identity => string.Create(CultureInfo.InvariantCulture,
        $"files of {Size} pixels, {Describe(crop, orientation)}\n{Stamps(paths)}");

    /// <summary>
    /// Names below the folder that all files have in common, and what <see cref="ContentSample"/> tells; the crop and the size.
    /// </summary>
    public override string Content
    {
        get
        {
            string[] full = [.. paths.Select(Path.GetFullPath)];
            string common = Path.GetDirectoryName(full[0]) ?? full[0];
            foreach (string path in full)
                while (!path.StartsWith(WithSeparator(common), StringComparison.Ordinal)) common = Path.GetDirectoryName(common) ?? "";
            string[] names = [.. full.Select(path => path[WithSeparator(common).Length..].Replace('\\', '/'))];
            string sample = ContentSample.Of(names, i => new FileInfo(paths[i]).Length, i => FirstBytes(paths[i]));
            return string.Create(CultureInfo.InvariantCulture, $"files of {Size} pixels, {Describe(crop, orientation)}\n{sample}");
        }
    }

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => paths;

    /// <summary>Opens folders, with those below them, patterns (<see cref="GlobPattern"/>) and files, each sorted by path.</summary>
    /// <param name="name">What errors call the set.</param>
    /// <param name="sources">The folders, patterns and files.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="crop">Part of each picture to use, or null.</param>
    /// <param name="orientation">What to do with pictures that a camera has turned.</param>
    /// <exception cref="IOException">There is no such file or folder, or no picture.</exception>
    public static FileSet Open(
        string name, IReadOnlyList<string> sources, int size, ImageCrop? crop = null, ImageOrientation orientation = ImageOrientation.Exif)
    {
        var passedOver = new PassedOver();
        List<string> files = [];
        foreach (string source in sources)
        {
            if (File.Exists(source)) files.Add(source); // whatever it is called
            else if (Directory.Exists(source)) files.AddRange(passedOver.Pictures(GlobPattern.FilesBelow(source, passedOver)));
            else if (GlobPattern.Is(source)) files.AddRange(passedOver.Pictures(GlobPattern.Files(source, passedOver)));
            else throw new FileNotFoundException($"expected pictures at {source}, found no such file or folder");
        }
        return files.Count > 0 ? new FileSet(name, files, size, crop, orientation) { PassedOver = passedOver }
            : throw Empty(name, passedOver);
    }

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels) =>
        Decode(ImageFile.Read(paths[index], orientation), crop, Size, paths[index]).CopyTo(pixels);

    /// <inheritdoc/>
    public override string NameOf(int index) => paths[index];

    /// <summary>A picture as the set has it: [S, S, 3].</summary>
    internal static float[] Decode(Image image, ImageCrop? crop, int size, string name) =>
        ImageResize.Resize(crop is null ? image : crop.Of(image, name), size, size);

    /// <summary>The error of a set without pictures.</summary>
    /// <param name="where">Where they were looked for.</param>
    /// <param name="passedOver">What was found there instead.</param>
    internal static IOException Empty(string where, PassedOver passedOver) =>
        new($"expected pictures ({string.Join(", ", PictureNames.Endings)}) in {where}, found none{And(passedOver)}");

    /// <summary>What was passed over, for the end of an error.</summary>
    internal static string And(PassedOver passedOver) => passedOver.Count > 0 ? $"; {passedOver}" : "";

    /// <summary>What tells files from later ones of their names, or that their links lead to, a line each.</summary>
    internal static string Stamps(IEnumerable<string> paths)
    {
        var real = new RealPaths();
        return string.Join('\n', paths.Select(path =>
        {
            var file = new FileInfo(real.Of(path));
            // One that is gone is told of where it is read.
            return string.Create(CultureInfo.InvariantCulture,
                $"{file.FullName} {(file.Exists ? $"{file.Length} {file.LastWriteTimeUtc.Ticks}" : "gone")}");
        }));
    }

    /// <summary>Crop and orientation in words.</summary>
    internal static string Describe(ImageCrop? crop, ImageOrientation orientation) =>
        (crop is null ? "whole" : $"cropped to {crop}")
        + (orientation == ImageOrientation.Raw ? ", as stored" : "");

    private static string WithSeparator(string folder) =>
        folder.Length == 0 || Path.EndsInDirectorySeparator(folder) ? folder : folder + Path.DirectorySeparatorChar;

    private static byte[] FirstBytes(string path)
    {
        using FileStream stream = Formats.RegularFile.OpenStream(path);
        byte[] bytes = new byte[Math.Min(ContentSample.MaxBytes, stream.Length)];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
