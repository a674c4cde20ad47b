using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>The architectures of the golden models, from the table in goldens/README.md.</summary>
internal static class GoldenConfigs
{
    public static UNetConfig A => new()
    {
        ImageSize = 32,
        Channels = 32,
        ChannelMult = [1, 2],
        NumResBlocks = 1,
        EmbDim = 32,
        EncChannels = 6,
        NumComponents = 3,
        AttentionDownsamples = [2],
        NumHeadChannels = 16,
        ResBlockUpDown = true,
    };

    public static UNetConfig B => new()
    {
        ImageSize = 20,
        Channels = 16,
        ChannelMult = [1, 2, 2],
        NumResBlocks = 1,
        EmbDim = 24,
        EncChannels = 6,
        NumComponents = 5,
        AttentionDownsamples = [2, 4],
        NumHeads = 2,
        UseScaleShiftNorm = true,
    };

    public static UNetConfig TinyCf => A with { EncChannels = 16 };

    public static UNetConfig C => new()
    {
        ImageSize = 64,
        Channels = 64,
        ChannelMult = [1, 2, 3],
        NumResBlocks = 2,
        EmbDim = 64,
        EncChannels = 128,
        NumComponents = 4,
        AttentionDownsamples = [2, 4],
        NumHeadChannels = 64,
        ResBlockUpDown = true,
    };

    public static UNetConfig Named(string name) => name switch
    {
        "A" => A,
        "B" => B,
        "tiny_cf" => TinyCf,
        "C" => C,
        _ => throw new ArgumentException($"no golden configuration {name}"),
    };
}
