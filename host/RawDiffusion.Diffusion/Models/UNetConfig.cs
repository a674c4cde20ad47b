using RawDiffusion.Diffusion.Checkpoints;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The architecture of a Decomp Diffusion network: U-Net, timestep embedding and latent encoder. The members are the
/// arguments of <c>UNetModel</c> in the reference's model/unet.py. Two configurations are equal when all members are.
/// </summary>
public sealed record UNetConfig
{
    /// <summary>Groups of every GroupNorm; the width of every level is a multiple of it.</summary>
    public const int NormGroups = 16;

    /// <summary>Convolutions with stride 2 in the latent encoder.</summary>
    public const int EncoderDepth = 3;

    // 1 << level stays within an int, and no image has that many pixels anyway.
    internal const int MostLevels = 16;

    // Far more than in any network. A damaged file must not ask for a graph that takes minutes to build.
    internal const int MostResBlocks = 64;

    /// <summary>Height and width of the images, in pixels.</summary>
    public required int ImageSize { get; init; }

    /// <summary>Channels of the images, which are also those of the network's output.</summary>
    public int ImageChannels { get; init; } = 3;

    /// <summary>Base width of the U-Net and width of the sinusoidal timestep embedding (<c>num_channels</c>).</summary>
    public required int Channels { get; init; }

    /// <summary>Width of each level as a multiple of <see cref="Channels"/>, full resolution first.</summary>
    public required IReadOnlyList<int> ChannelMult { get; init; }

    /// <summary>Residual blocks of a level on the way down; one more on the way up.</summary>
    public required int NumResBlocks { get; init; }

    /// <summary>
    /// Width of what conditions a residual block: one component's latent and the timestep's embedding, half each; even.
    /// </summary>
    public required int EmbDim { get; init; }

    /// <summary>Width of the latent encoder's first convolution; it doubles with each of the three after it.</summary>
    public required int EncChannels { get; init; }

    /// <summary>K: the number of components into which the encoder decomposes an image.</summary>
    public required int NumComponents { get; init; }

    /// <summary>
    /// Downsampling factors (1, 2, 4, ...) of the levels that have attention, ascending. The middle block always has it.
    /// </summary>
    public required IReadOnlyList<int> AttentionDownsamples { get; init; }

    /// <summary>Attention heads of every attention block; null when <see cref="NumHeadChannels"/> decides.</summary>
    public int? NumHeads { get; init; }

    /// <summary>Channels of one attention head; null when <see cref="NumHeads"/> decides.</summary>
    public int? NumHeadChannels { get; init; }

    /// <summary>Whether the embedding scales and shifts the second normalisation instead of being added before it.</summary>
    public bool UseScaleShiftNorm { get; init; }

    /// <summary>
    /// Whether residual blocks change the resolution, instead of a strided convolution and an upsampling with
    /// convolution. False in a network of one level, where it means nothing.
    /// </summary>
    public bool ResBlockUpDown { get; init; }

    /// <summary>Width of one component's latent, and of the timestep's embedding.</summary>
    public int LatentDim => EmbDim / 2;

    /// <summary>Height and width of the encoder's last feature map: the image size, halved and rounded up three times.</summary>
    public int EncodedSize => (ImageSize + (1 << EncoderDepth) - 1) >> EncoderDepth;

    /// <summary>Widths of the feature maps at each level, full resolution first.</summary>
    public IReadOnlyList<int> Widths => [.. ChannelMult.Select(mult => mult * Channels)];

    /// <summary>Widths that have attention, without repeats; the middle block's is always among them.</summary>
    public IReadOnlyList<int> AttentionWidths =>
        [.. Widths.Where((_, level) => HasAttention(level)).Append(Widths[^1]).Distinct()];

    /// <summary>Whether the residual blocks of that level are followed by attention.</summary>
    /// <param name="level">0 for full resolution.</param>
    public bool HasAttention(int level) => AttentionDownsamples.Contains(1 << level);

    /// <summary>Number of heads of an attention block.</summary>
    /// <param name="width">The block's channels.</param>
    public int HeadsAt(int width) => NumHeadChannels is int channels ? width / channels : NumHeads ?? 1;

    /// <summary>Checks that a network of this architecture can be built and run.</summary>
    /// <exception cref="CheckpointException">It cannot; the message says which member is wrong and what it could be.</exception>
    public void Validate()
    {
        RequirePositive(ImageSize, "image size");
        RequirePositive(ImageChannels, "number of image channels");
        RequirePositive(NumResBlocks, "number of residual blocks");
        RequirePositive(EmbDim, "embedding dimension");
        RequirePositive(EncChannels, "number of encoder channels");
        RequirePositive(NumComponents, "number of components");
        Require(NumResBlocks <= MostResBlocks, $"a level has at most {MostResBlocks} residual blocks, found {NumResBlocks}");
        Require(ChannelMult.Count is >= 1 and <= MostLevels, $"expected 1 to {MostLevels} levels, found {ChannelMult.Count}");
        foreach (int mult in ChannelMult) RequirePositive(mult, "channel multiplier");
        Require(EmbDim % 2 == 0, $"the embedding dimension must be even, found {EmbDim}");
        ValidateWidths();
        Require(
            ImageSize % SizeMultiple == 0,
            $"a network of {ChannelMult.Count} levels needs an image size that is a multiple of {SizeMultiple}, " +
            $"found {ImageSize}");
        foreach (int downsample in AttentionDownsamples)
        {
            Require(
                Enumerable.Range(0, ChannelMult.Count).Any(level => 1 << level == downsample),
                $"a network of {ChannelMult.Count} levels has none at downsampling {downsample} for attention");
        }
        ValidateHeads();
    }

    /// <inheritdoc/>
    public bool Equals(UNetConfig? other) =>
        other is not null
        && Scalars == other.Scalars
        && ChannelMult.SequenceEqual(other.ChannelMult)
        && AttentionDownsamples.SequenceEqual(other.AttentionDownsamples);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Scalars, ChannelMult.Count, AttentionDownsamples.Count);

    /// <summary>Checks the widths of the U-Net's levels, which its layers need before its tensors can be listed.</summary>
    /// <exception cref="CheckpointException">They are none that a network can have.</exception>
    internal void ValidateWidths()
    {
        Require(Channels >= 2, $"the number of channels must be at least 2, found {Channels}");
        foreach (int width in Widths)
        {
            Require(
                width % NormGroups == 0,
                $"every level's width must be a multiple of the {NormGroups} normalisation groups, found {width}");
        }
    }

    // Every level but the first halves the image, and the way up doubles it back: no pixel may be lost in between.
    internal int SizeMultiple => 1 << (ChannelMult.Count - 1);

    private ((int, int, int, int, int, int, int), (int?, int?, bool, bool)) Scalars => (
        (ImageSize, ImageChannels, Channels, NumResBlocks, EmbDim, EncChannels, NumComponents),
        (NumHeads, NumHeadChannels, UseScaleShiftNorm, ResBlockUpDown));

    private void ValidateHeads()
    {
        Require(
            NumHeads is null != NumHeadChannels is null,
            "give either the number of attention heads (--num-heads) or the channels of a head (--num-head-channels), " +
            "not both");
        int divisor = NumHeadChannels ?? NumHeads ?? 1;
        RequirePositive(divisor, NumHeads is null ? "number of channels of a head" : "number of heads");
        foreach (int width in AttentionWidths)
        {
            Require(
                width % divisor == 0,
                $"{divisor} {(NumHeads is null ? "channels a head" : "heads")} do not divide an attention width of " +
                $"{width}: set {(NumHeads is null ? "--num-head-channels" : "--num-heads")} to a divisor of it");
        }
    }

    private static void RequirePositive(int value, string what) =>
        Require(value > 0, $"the {what} must be positive, found {value}");

    private static void Require(bool condition, string message)
    {
        if (!condition) throw new CheckpointException(message);
    }
}
