namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The architectures of the published models, from the flags in the authors' README and the defaults of their
/// model_and_diffusion_util.py: 64 x 64 images, 64 channels x (1, 2, 3), 2 residual blocks, K = 4, attention at 32, 16 and
/// 8 pixels, 64 channels a head.
/// </summary>
public static class Presets
{
    /// <summary>The network of the authors' flags where none is given.</summary>
    public static UNetConfig Default { get; } = new()
    {
        ImageSize = 64,
        Channels = 64,
        ChannelMult = [1, 2, 3],
        NumResBlocks = 2,
        EmbDim = 256,
        EncChannels = 64,
        NumComponents = 4,
        AttentionDownsamples = [2, 4],
        NumHeadChannels = 64,
        ResBlockUpDown = true,
    };

    private static readonly Dictionary<string, UNetConfig> All = new(StringComparer.Ordinal)
    {
        ["clevr"] = Default with { EmbDim = 64, EncChannels = 128 },
        ["celebahq"] = Default with { EncChannels = 128 },
        ["faces"] = Default with { EncChannels = 128 },
        ["clevr_toy"] = Default with { EmbDim = 64, EncChannels = 128 },
        ["tetris"] = Default with
        {
            ImageSize = 32,
            ChannelMult = [1, 2],
            NumComponents = 3,
            NumResBlocks = 1,
            AttentionDownsamples = [1, 2]
        },
        ["vkitti"] = Default,
        ["comb_kitti"] = Default,
        ["falcor3d"] = Default with { EmbDim = 32, ChannelMult = [1, 2], AttentionDownsamples = [2] },
    };

    /// <summary>Names of the published models.</summary>
    public static IReadOnlyCollection<string> Names => All.Keys;

    /// <summary>The architecture of a published model.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <exception cref="ArgumentException">There is no such model.</exception>
    public static UNetConfig Get(string name) => All.TryGetValue(name, out UNetConfig? config)
        ? config
        : throw new ArgumentException($"there is no preset '{name}'; there are: {string.Join(", ", Names)}");
}
