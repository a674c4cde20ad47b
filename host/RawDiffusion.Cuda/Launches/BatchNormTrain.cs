using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/batch_norm.cu</c>: a batch's statistics.</summary>
internal sealed class BatchNormStatisticsLaunch : OperatorLaunch<BatchNormStatistics>
{
    /// <summary>Most tiles of a batch: two for each multiprocessor of a large GPU.</summary>
    public const int MaxTiles = 256;

    protected override void Prepare(Node node, BatchNormStatistics op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(0));
        int channels = node.Input(0).Shape[3], pixels = Positions(node.Input(0));
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, x), MaxTiles);
        context.Kernel("batch_norm.cu", "batch_norm_statistics")
            .Type("X_T", x).Define("VECTOR", tiles.Vector)
            .Read(node.Input(0)).Read(context.Upload<float>(tiles.Counts(pixels)))
            .Update(context.Scratch(8L * tiles.Tiles * channels)).Update(context.Counters(1)).Write(node.Output)
            .Extent("TILES", tiles.Tiles).Extent("TILE_PIXELS", tiles.TilePixels).Extent("PIXELS", pixels).Extent("C", channels)
            .Launch(tiles.Tiles, Elementwise.Block);
    }

    /// <summary>Numbers in each channel of a batch.</summary>
    public static int Positions(Value x) => Elementwise.Count(x) / Math.Max(1, x.Shape[3]);

    /// <summary>Mean and variance in the output of this operator.</summary>
    public static (DeviceRange Mean, DeviceRange Variance) Rows(Value statistics, LaunchContext context)
    {
        DeviceRange all = context.Memory(statistics);
        return (all.Slice(0, all.Bytes / 2), all.Slice(all.Bytes / 2, all.Bytes / 2));
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>: normalises with a batch's statistics.</summary>
internal sealed class BatchNormTrainLaunch : OperatorLaunch<BatchNormTrain>
{
    protected override void Prepare(Node node, BatchNormTrain op, LaunchContext context)
    {
        (DeviceRange mean, DeviceRange variance) = BatchNormStatisticsLaunch.Rows(node.Input(3), context);
        BatchNormLaunch.Add(node, context, mean, variance, op.Epsilon);
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>: keeps running statistics.</summary>
internal sealed class BatchNormRunningLaunch : OperatorLaunch<BatchNormRunning>
{
    protected override void Prepare(Node node, BatchNormRunning op, LaunchContext context)
    {
        (DeviceRange mean, DeviceRange variance) = BatchNormStatisticsLaunch.Rows(node.Input(1), context);
        (int row, double factor) = op.OfBatch();
        int channels = node.Output.Shape[0];
        context.Kernel("batch_norm.cu", "batch_norm_running")
            .Read(node.Input(0)).Read(row == 0 ? mean : variance).Write(node.Output)
            .Argument(op.Momentum).Argument((float)factor).Extent("C", channels)
            .Launch((channels + Elementwise.Block - 1) / Elementwise.Block, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>, backward: the gradients by gamma and beta.</summary>
internal sealed class BatchNormGradAffineLaunch : OperatorLaunch<BatchNormGradAffine>
{
    protected override void Prepare(Node node, BatchNormGradAffine op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(0)), dy = context.StorageOf(node.Input(2));
        int channels = node.Input(0).Shape[3], pixels = BatchNormStatisticsLaunch.Positions(node.Input(0));
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, x, dy), BatchNormStatisticsLaunch.MaxTiles);
        context.Kernel("batch_norm.cu", "batch_norm_grad_affine")
            .Type("X_T", x).Type("DY_T", dy).Define("VECTOR", tiles.Vector)
            .Read(node.Input(0)).Read(node.Input(1)).Read(node.Input(2))
            .Update(context.Scratch(8L * tiles.Tiles * channels)).Update(context.Counters(1)).Write(node.Output)
            .Argument(op.Epsilon)
            .Extent("TILES", tiles.Tiles).Extent("TILE_PIXELS", tiles.TilePixels).Extent("PIXELS", pixels).Extent("C", channels)
            .Launch(tiles.Tiles, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>, backward: the gradient by x.</summary>
internal sealed class BatchNormGradInputLaunch : OperatorLaunch<BatchNormGradInput>
{
    protected override void Prepare(Node node, BatchNormGradInput op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(0)), dy = context.StorageOf(node.Input(3)), dx = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Output.Shape[3];
        context.Kernel("batch_norm.cu", "batch_norm_grad_input")
            .Type("X_T", x).Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(0)).Read(node.Input(1)).Read(node.Input(2)).Read(node.Input(3)).Read(node.Input(4)).Write(node.Output)
            .Argument(op.Epsilon).Argument(1f / BatchNormStatisticsLaunch.Positions(node.Input(0))).Extent("COUNT", count)
            .Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, x, dy, dx));
    }
}
