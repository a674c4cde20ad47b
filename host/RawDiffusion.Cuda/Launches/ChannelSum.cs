using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/channel_sum.cu</c>.</summary>
internal sealed class ChannelSumLaunch : OperatorLaunch<ChannelSum>
{
    private const int Block = 256;

    // Blocks that keep a large device's memory busy.
    private const int FillingBlocks = 512;

    protected override void Prepare(Node node, ChannelSum op, LaunchContext context)
    {
        Value x = node.Input(ChannelSum.X);
        int channels = x.Shape[^1];
        if (channels == 0) return;
        int rows = Elementwise.Count(x) / channels;
        Storage storage = context.StorageOf(x);
        int vector = 16 / StoragePolicy.ElementBytes(storage);
        while (channels % vector != 0) vector /= 2;
        // A thread for each vector of a row, at most a warp.
        int across = 1;
        while (across < 32 && across * vector < channels) across *= 2;
        int tiles = (channels + across * vector - 1) / (across * vector), down = Block / across;
        // Each part of at least four steps. No rows: one part, which stores zeros.
        int parts = Math.Clamp(FillingBlocks / tiles, 1, Math.Max(1, rows / (4 * down)));
        context.Kernel("channel_sum.cu", "channel_sum")
            .Type("X_T", storage).Define("VECTOR", vector).Define("ACROSS", across)
            .Read(x).Write(node.Output).Write(context.Scratch(4L * parts * channels)).Update(context.Counters(tiles))
            .Extent("ROWS", rows).Extent("CHANNELS", channels)
            .Launch(new(tiles, parts), Block);
    }
}
