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
        Storage x = context.StorageOf(node.Input(BatchNormStatistics.X));
        int channels = node.Input(BatchNormStatistics.X).Shape[3], pixels = Positions(node.Input(BatchNormStatistics.X));
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, x), MaxTiles);
        context.Kernel("batch_norm.cu", "batch_norm_statistics")
            .Type("X_T", x).Define("VECTOR", tiles.Vector)
            .Read(node.Input(BatchNormStatistics.X)).Read(context.Upload<float>(tiles.Counts(pixels)))
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
        (DeviceRange mean, DeviceRange variance) = BatchNormStatisticsLaunch.Rows(node.Input(BatchNormTrain.Statistics), context);
        BatchNormLaunch.Add(node, context, mean, variance, op.Epsilon);
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>: keeps running statistics.</summary>
internal sealed class BatchNormRunningLaunch : OperatorLaunch<BatchNormRunning>
{
    protected override void Prepare(Node node, BatchNormRunning op, LaunchContext context)
    {
        (DeviceRange mean, DeviceRange variance) = BatchNormStatisticsLaunch.Rows(node.Input(BatchNormRunning.Statistics), context);
        (int row, double factor) = op.OfBatch();
        int channels = node.Output.Shape[0];
        context.Kernel("batch_norm.cu", "batch_norm_running")
            .Read(node.Input(BatchNormRunning.Running)).Read(row == 0 ? mean : variance).Write(node.Output)
            .Argument(op.Momentum).Argument((float)factor).Extent("C", channels)
            .Launch((channels + Elementwise.Block - 1) / Elementwise.Block, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/batch_norm.cu</c>, backward: the gradients by gamma and beta.</summary>
internal sealed class BatchNormGradAffineLaunch : OperatorLaunch<BatchNormGradAffine>
{
    protected override void Prepare(Node node, BatchNormGradAffine op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(BatchNormGradAffine.X)), dy = context.StorageOf(node.Input(BatchNormGradAffine.Dy));
        int channels = node.Input(BatchNormGradAffine.X).Shape[3];
        int pixels = BatchNormStatisticsLaunch.Positions(node.Input(BatchNormGradAffine.X));
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, x, dy), BatchNormStatisticsLaunch.MaxTiles);
        context.Kernel("batch_norm.cu", "batch_norm_grad_affine")
            .Type("X_T", x).Type("DY_T", dy).Define("VECTOR", tiles.Vector)
            .Read(node.Input(BatchNormGradAffine.X)).Read(node.Input(BatchNormGradAffine.Statistics))
            .Read(node.Input(BatchNormGradAffine.Dy))
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
        Storage x = context.StorageOf(node.Input(BatchNormGradInput.X)), dy = context.StorageOf(node.Input(BatchNormGradInput.Dy));
        Storage dx = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Output.Shape[3];
        context.Kernel("batch_norm.cu", "batch_norm_grad_input")
            .Type("X_T", x).Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(BatchNormGradInput.X)).Read(node.Input(BatchNormGradInput.Gamma))
            .Read(node.Input(BatchNormGradInput.Statistics)).Read(node.Input(BatchNormGradInput.Dy))
            .Read(node.Input(BatchNormGradInput.Sums)).Write(node.Output)
            .Argument(op.Epsilon).Argument(1f / BatchNormStatisticsLaunch.Positions(node.Input(BatchNormGradInput.X)))
            .Extent("COUNT", count).Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, x, dy, dx));
    }
}
