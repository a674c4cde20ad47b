using System.Globalization;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Data;

/// <summary>The pictures in tar files, in the archives' order, each cropped and resized as <see cref="FileSet"/> does.</summary>
public sealed class TarSet : ImageSet
{
    private readonly IReadOnlyList<Shard> shards;
    private readonly (int Shard, TarEntry Entry)[] pictures;
    private readonly ImageCrop? crop;

    private TarSet(string name, IReadOnlyList<Shard> shards, (int Shard, TarEntry Entry)[] pictures, int size, ImageCrop? crop) : base(name, pictures.Length, size) =>
        (this.shards, this.pictures, this.crop) = (shards, pictures, crop);

    /// <summary>Paths, lengths and times of the tar files, the crop and the size.</summary>
    public override string Identity => string.Create(CultureInfo.InvariantCulture,
        $"tar files of {Size} pixels, {FileSet.Describe(crop)}\n{string.Join('\n', shards.Select(s => FileSet.Stamp(s.Path)))}");

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => shards.Select(s => s.Path);

    /// <summary>Opens tar files.</summary>
    /// <param name="name">What errors call the set.</param>
    /// <param name="paths">The files.</param>
    /// <param name="size">S.</param>
    /// <param name="crop">Part of each picture to use, or null.</param>
    /// <exception cref="FileFormatException">One is no tar file, or is damaged.</exception>
    /// <exception cref="IOException">One cannot be read, or there is no picture in them.</exception>
    public static TarSet Open(string name, IReadOnlyList<string> paths, int size, ImageCrop? crop = null)
    {
        List<Shard> shards = [];
        try
        {
            foreach (string path in paths) shards.Add(new Shard(path, TarFile.Open(path)));
            (int Shard, TarEntry Entry)[] pictures = [.. shards.SelectMany((shard, i) => shard.File.Entries.Where(IsPicture).Select(e => (i, e)))];
            if (pictures.Length == 0) throw FileSet.Empty($"the {paths.Count} tar file{(paths.Count == 1 ? "" : "s")} {name}");
            return new TarSet(name, shards, pictures, size, crop);
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
        FileSet.Decode(shards[shard].File.ReadImage(entry), crop, Size, NameOf(index)).CopyTo(pixels);
    }

    /// <inheritdoc/>
    public override string NameOf(int index) => $"{shards[pictures[index].Shard].Path}/{pictures[index].Entry.Name}";

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (Shard shard in shards) shard.File.Dispose();
        base.Dispose();
    }

    // Names with a dot in front are what some systems add to a file, not pictures.
    private static bool IsPicture(TarEntry entry) => FileSet.IsPicture(entry.Name) && !Path.GetFileName(entry.Name).StartsWith('.');

    private sealed record Shard(string Path, TarFile File);
}
