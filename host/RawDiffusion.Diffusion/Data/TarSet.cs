using System.Globalization;
using RawDiffusion.Engine;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>The pictures in tar files, in the archives' order, each cropped and resized as <see cref="FileSet"/> does.</summary>
public sealed class TarSet : ImageSet
{
    private readonly IReadOnlyList<Shard> shards;
    private readonly (int Shard, TarEntry Entry)[] pictures;
    private readonly ImageCrop? crop;
    private readonly ImageOrientation orientation;

    private TarSet(
        string name, IReadOnlyList<Shard> shards, (int Shard, TarEntry Entry)[] pictures, int size, ImageCrop? crop,
            ImageOrientation orientation)
        : base(name, pictures.Length, size) =>
        (this.shards, this.pictures, this.crop, this.orientation) = (shards, pictures, crop, orientation);

    /// <summary>Real paths, lengths and times of the tar files, the crop and the size: links stand for what they lead to.</summary>
    public override string Identity => string.Create(CultureInfo.InvariantCulture,
        $"tar files of {Size} pixels, {FileSet.Describe(crop, orientation)}\n{FileSet.Stamps(shards.Select(s => s.Path))}");

    /// <summary>
    /// Names of the tar files and of the pictures in them, and what <see cref="ContentSample"/> tells; the crop and the size.
    /// </summary>
    public override string Content
    {
        get
        {
            string[] names = [.. pictures.Select(p => $"{Path.GetFileName(shards[p.Shard].Path)}/{p.Entry.Name}")];
            string sample = ContentSample.Of(names, i => pictures[i].Entry.Length,
                i => shards[pictures[i].Shard].File.ReadStart(pictures[i].Entry, ContentSample.MaxBytes));
            return string.Create(CultureInfo.InvariantCulture,
                $"tar files of {Size} pixels, {FileSet.Describe(crop, orientation)}\n{sample}");
        }
    }

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => shards.Select(s => s.Path);

    /// <summary>Opens tar files. One with gzip is unpacked first, into a file without a name in the user's cache folder.</summary>
    /// <param name="name">What errors call the set.</param>
    /// <param name="paths">The files.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="crop">Part of each picture to use, or null.</param>
    /// <param name="orientation">What to do with pictures that a camera has turned.</param>
    /// <exception cref="FileFormatException">One is no tar file, or is damaged.</exception>
    /// <exception cref="IOException">One cannot be read, or there is no picture in them.</exception>
    public static TarSet Open(
        string name, IReadOnlyList<string> paths, int size, ImageCrop? crop = null, ImageOrientation orientation = ImageOrientation.Exif)
    {
        List<Shard> shards = [];
        List<(int Shard, TarEntry Entry)> pictures = [];
        var passedOver = new PassedOver();
        try
        {
            foreach (string path in paths)
            {
                if (!File.Exists(path))
                    throw new FileNotFoundException($"expected a tar file at {path}, found none: fetch it, or leave it out");
                shards.Add(new Shard(path, TarFile.Open(path, UserCache.Folder("unpacked"))));
                foreach (string link in shards[^1].File.Links) passedOver.Add(PassReason.TarLink, $"{path}/{link}");
                foreach (TarEntry entry in shards[^1].File.Entries)
                {
                    // Names with a dot in front are what some systems add to a file, not pictures.
                    if (Path.GetFileName(entry.Name).StartsWith('.')) passedOver.Add(PassReason.Hidden, $"{path}/{entry.Name}");
                    else if (passedOver.Pictures([entry.Name]).Any()) pictures.Add((shards.Count - 1, entry));
                }
            }
            if (pictures.Count == 0) throw FileSet.Empty($"the {paths.Count} tar file{(paths.Count == 1 ? "" : "s")} {name}", passedOver);
            return new TarSet(name, shards, [.. pictures], size, crop, orientation) { PassedOver = passedOver };
        }
        catch
        {
            foreach (Shard shard in shards) shard.File.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels)
    {
        (int shard, TarEntry entry) = pictures[index];
        FileSet.Decode(shards[shard].File.ReadImage(entry, orientation), crop, Size, NameOf(index)).CopyTo(pixels);
    }

    /// <inheritdoc/>
    public override string NameOf(int index) => $"{shards[pictures[index].Shard].Path}/{pictures[index].Entry.Name}";

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (Shard shard in shards) shard.File.Dispose();
        base.Dispose();
    }

    private sealed record Shard(string Path, TarFile File);
}
