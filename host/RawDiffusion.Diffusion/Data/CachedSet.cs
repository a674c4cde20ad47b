using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// A set whose images are decoded and resized once, into a <see cref="PackedSet"/> in a cache. It is the set in everything else: order,
/// names, identity, and the errors of images that cannot be read.
/// </summary>
public sealed class CachedSet : ImageSet
{
    private readonly ImageSet set;
    private readonly PackedSet packed;

    // For each image of the set its place in the packed file; -1 where it is not there.
    private readonly int[] places;

    private CachedSet(ImageSet set, PackedSet packed) : base(set.Name, set.Count, set.Size)
    {
        (this.set, this.packed) = (set, packed);
        places = new int[set.Count];
        foreach (int skipped in packed.SkippedImages) places[skipped] = -1;
        for (int i = 0, place = 0; i < places.Length; i++)
            if (places[i] == 0) places[i] = place++;
    }

    /// <inheritdoc/>
    public override string Identity => set.Identity;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => set.Files;

    /// <inheritdoc/>
    public override string Content => set.Content;

    /// <inheritdoc/>
    public override PassedOver PassedOver => set.PassedOver;

    /// <inheritdoc/>
    public override int Objects => set.Objects;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames => set.AttributeNames;

    /// <summary>Opens the packed file of a set in a folder, or makes it.</summary>
    /// <param name="set">The images. The result owns them.</param>
    /// <param name="folder">Where packed files are.</param>
    /// <param name="tell">Told in one line why there is no cache.</param>
    /// <param name="progress">Told after each image, where the file is made.</param>
    /// <param name="cancellation">Stops between images.</param>
    /// <returns>The set with a cache; without one where it cannot be made, as on a full disk or of images none of which can be
    /// read.</returns>
    public static ImageSet Of(
        ImageSet set, string folder, Action<string> tell, Action? progress = null, CancellationToken cancellation = default)
    {
        try
        {
            // Images that cannot be read are told of, or end the run, when they are met.
            return new CachedSet(set, PackedSet.For(set, folder, new PackOptions { Progress = progress }, cancellation));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FileFormatException)
        {
            tell($"the images are decoded again whenever they are read, as there is no cache of them in {folder}: {e.Message}");
            return set;
        }
    }

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels)
    {
        int place = index >= 0 && index < Count ? places[index] : throw new ArgumentOutOfRangeException(nameof(index));
        if (place >= 0 && TryLoad(place, pixels)) return;
        set.Load(index, pixels);
    }

    /// <inheritdoc/>
    public override string NameOf(int index) => set.NameOf(index);

    /// <inheritdoc/>
    public override GroundTruth? TruthOf(int index) => set.TruthOf(index);

    /// <inheritdoc/>
    public override void Dispose()
    {
        packed.Dispose();
        set.Dispose();
        base.Dispose();
    }

    // A file that was damaged after it was opened costs time, not images.
    private bool TryLoad(int place, Span<float> pixels)
    {
        try
        {
            packed.Load(place, pixels);
            return true;
        }
        catch (Exception e) when (e is IOException or FileFormatException)
        {
            return false;
        }
    }
}
