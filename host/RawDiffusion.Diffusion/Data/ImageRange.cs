namespace RawDiffusion.Diffusion.Data;

/// <summary>Some images of a set that follow each other. It owns the set.</summary>
/// <param name="set">The set.</param>
/// <param name="start">The first image.</param>
/// <param name="count">How many, where the set has as many: else all that are left.</param>
public sealed class ImageRange(ImageSet set, int start, int count) : ImageSet(set.Name, CountOf(set, start, count), set.Size)
{
    /// <inheritdoc/>
    public override string Identity => $"images {start} to {start + Count - 1} of {set.Identity}";

    /// <inheritdoc/>
    public override IEnumerable<string> Files => set.Files;

    /// <inheritdoc/>
    public override string Content => $"images {start} to {start + Count - 1} of {set.Content}";

    /// <inheritdoc/>
    public override PassedOver PassedOver => set.PassedOver;

    /// <inheritdoc/>
    public override bool IsDecoded => set.IsDecoded;

    /// <inheritdoc/>
    public override int Objects => set.Objects;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames => set.AttributeNames;

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels) => set.Load(Inner(index), pixels);

    /// <inheritdoc/>
    public override string NameOf(int index) => set.NameOf(Inner(index));

    /// <inheritdoc/>
    public override GroundTruth? TruthOf(int index) => set.TruthOf(Inner(index));

    /// <inheritdoc/>
    public override void Dispose()
    {
        set.Dispose();
        base.Dispose();
    }

    private int Inner(int index) => index >= 0 && index < Count ? start + index : throw new ArgumentOutOfRangeException(nameof(index));

    private static int CountOf(ImageSet set, int start, int count) => start >= 0 && start < set.Count && count > 0
        ? Math.Min(count, set.Count - start)
        : throw new ArgumentException($"{set.Name}: expected a range of its {set.Count} images, found {count} from {start}");
}
