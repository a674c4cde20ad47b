using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/conv2d.cu</c>.</summary>
internal sealed class Conv2dLaunch : OperatorLaunch<Conv2d>
{
    protected override void Prepare(Node node, Conv2d op, LaunchContext context)
    {
        new ConvForward(node, node.Input(Conv2d.X), node.Input(Conv2d.Weight), op.Stride, op.Padding)
        {
            Spread = op.Upsample ? ConvSpread.Nearest : ConvSpread.None,
            X2 = node.Inputs[Conv2d.X2],
            Affine = node.Inputs[Conv2d.Affine],
            OnLoad = op.OnLoad,
            Bias = node.Inputs[Conv2d.Bias],
            Embedding = node.Inputs[Conv2d.Embedding],
            Residual = node.Inputs[Conv2d.Residual],
            ResidualScale = op.UpsampleResidual ? 2 : 1,
            OnStore = op.OnStore,
            Skip = node.Inputs[Conv2d.Skip],
            Skip2 = node.Inputs[Conv2d.Skip2],
            SkipWeight = node.Inputs[Conv2d.SkipWeight],
        }.Launch(context);
    }
}

/// <summary>How a convolution sees its input's pixels; numbers of <c>kernels/conv2d_patch.cuh</c>.</summary>
internal enum ConvSpread
{
    /// <summary>As they are.</summary>
    None,

    /// <summary>Each twice in both directions.</summary>
    Nearest,

    /// <summary>With zeros between them.</summary>
    Zeros,
}

/// <summary>One launch of <c>conv2d_forward</c>: the convolution of a node, or the gradient of its input, which is one too.</summary>
/// <param name="Node">Whose output is written.</param>
/// <param name="X">[N, H, W, C].</param>
/// <param name="Weight">[O, K, K, C + C2], or [C, K, K, O] where transposed.</param>
/// <param name="Stride">1 or 2.</param>
/// <param name="Padding">Zeros before the first pixel; those after the last follow from the output's size.</param>
internal sealed record ConvForward(Node Node, Value X, Value Weight, int Stride, int Padding)
{
    public bool Transpose { get; init; }

    public ConvSpread Spread { get; init; }

    public Value? X2 { get; init; }

    public Value? Affine { get; init; }

    public Activation OnLoad { get; init; }

    public Value? Bias { get; init; }

    public Value? Embedding { get; init; }

    public Value? Residual { get; init; }

    public int ResidualScale { get; init; } = 1;

    public Activation OnStore { get; init; }

    public Value? Skip { get; init; }

    public Value? Skip2 { get; init; }

    public Value? SkipWeight { get; init; }

    private int Kernel => Weight.Shape[1];

    private Shape Output => Node.Output.Shape;

    /// <summary>Adds the launch, and that which packs the weights where they are not constant.</summary>
    public void Launch(LaunchContext context)
    {
        if (Output.Count == 0) return;
        bool statistics = context.Norms.Wants(Node.Output);
        (int batch, int height, int width, int outHeight, int outWidth) = Extents(statistics);
        Storage stored = context.StorageOf(Node.Output);
        int storeVector = Vector(16 / StoragePolicy.ElementBytes(stored), Output[3]);
        var shape = new ConvShape(batch, outHeight, outWidth, Output[3], Kernel, Stride, Channels(X, X2), Channels(Skip, Skip2),
            Compute(context.Precision) is "bf16" or "f16" ? 2 : 4, InputBytes(context), context.Precision != Precision.Fp32,
            Affine is not null, storeVector);
        ConvTile tile = context.TileOf(Node, shape);
        var weights = new ConvWeights(Compute(context.Precision), 16 * tile.Units / shape.ElementBytes, tile.Columns, Transpose);
        DeviceRange packed = weights.Pack(Weight, context);
        DeviceRange packedSkip = SkipWeight is null ? default : weights.Pack(SkipWeight, context);
        var grid = new Dim3(ConvTile.Ceiling(Output[3], tile.Columns), tile.Tiles(shape), batch);

        LaunchBuilder launch = context.Kernel("conv2d.cu", "conv2d_forward")
            .Define("COMPUTE_T", weights.Compute).Type("X_T", context.StorageOf(X)).Type("X2_T", context.StorageOf(X2 ?? X))
            .Type("Y_T", stored).Type("RESIDUAL_T", context.StorageOf(Residual ?? Node.Output))
            .Define("KERNEL_SIZE", Kernel).Define("STRIDE", Stride).Define("SPREAD", (int)Spread)
            .Define("TILE_H", tile.Height).Define("TILE_W", tile.Width).Define("TILE_O", tile.Columns)
            .Define("WARPS_M", tile.WarpsM).Define("WARPS_N", tile.WarpsN).Define("WARPS_K", tile.WarpsK)
            .Define("UNITS", tile.Units).Define("STAGES", ConvTile.Stages)
            .Define("VECTOR", Vector(8, X.Shape[3], X2?.Shape[3] ?? 0)).Define("STORE_VECTOR", storeVector)
            .Define("CONCAT", X2 is not null).Define("AFFINE", Affine is not null).Define("ON_LOAD", (int)OnLoad)
            .Define("BIAS", Bias is not null).Define("EMBEDDING", Embedding is not null)
            .Define("RESIDUAL", Residual is null ? 0 : ResidualScale).Define("ON_STORE", (int)OnStore)
            .Read(X).Read(X2).Read(Affine).Read(packed).Read(Bias).Read(Embedding).Read(Residual).Write(Node.Output);
        AddSkip(launch, packedSkip, context);
        AddStatistics(launch, statistics, tile, shape, context);
        launch.Extent("H", height).Extent("W", width).Extent("C", X.Shape[3]).Extent("C2", X2?.Shape[3] ?? 0)
            .Extent("OH", outHeight).Extent("OW", outWidth).Extent("O", Output[3]).Extent("PADDING", Padding)
            .Launch(grid, tile.Threads, tile.SharedBytes(shape));
    }

    /// <summary>The format of operands in shared memory.</summary>
    public static string Compute(Precision precision) => precision switch
    {
        Precision.Bf16 => "bf16",
        Precision.Fp16 => "f16",
        Precision.Tf32 => "tf32",
        Precision.Fp32 => "float",
        _ => throw GraphException.Unhandled(precision),
    };

    /// <summary>The most neighbours, a power of two up to <paramref name="limit"/>, that divide all counts.</summary>
    public static int Vector(int limit, params ReadOnlySpan<int> counts)
    {
        foreach (int count in counts)
            while (count % limit != 0) limit /= 2;
        return limit;
    }

    // A 1x1 convolution sees no neighbours: an image is one row of pixels then, and all images are where nothing belongs to one.
    private (int Batch, int Height, int Width, int OutHeight, int OutWidth) Extents(bool statistics)
    {
        (int n, int h, int w) = (X.Shape[0], X.Shape[1], X.Shape[2]);
        if (Kernel != 1 || Stride != 1 || Padding != 0 || Spread != ConvSpread.None || (Residual is not null && ResidualScale != 1))
            return (n, h, w, Output[1], Output[2]);
        // As far as a grid has room for them in the smallest tiles.
        bool fits = (long)n * h * w <= 32L * LaunchBuilder.MaxBlocks;
        return Affine is null && Embedding is null && !statistics && fits ? (1, 1, n * h * w, 1, n * h * w) : (n, 1, h * w, 1, h * w);
    }

    // Inputs of different formats meet as float32.
    private int InputBytes(LaunchContext context) =>
        ((Value?[])[X, X2]).Max(v => v is null ? 0 : StoragePolicy.ElementBytes(context.StorageOf(v)));

    private static int Channels(Value? a, Value? b) => (a?.Shape[3] ?? 0) + (b?.Shape[3] ?? 0);

    private void AddSkip(LaunchBuilder launch, DeviceRange weights, LaunchContext context)
    {
        launch.Define("SKIP", Skip is not null);
        if (Skip is null) return;
        launch.Type("SKIP_T", context.StorageOf(Skip)).Type("SKIP2_T", context.StorageOf(Skip2 ?? Skip))
            .Define("SKIP_VECTOR", Vector(8, Skip.Shape[3], Skip2?.Shape[3] ?? 0)).Define("SKIP_CONCAT", Skip2 is not null)
            .Read(Skip).Read(Skip2).Read(weights).Extent("S", Skip.Shape[3]).Extent("S2", Skip2?.Shape[3] ?? 0);
    }

    private void AddStatistics(LaunchBuilder launch, bool statistics, ConvTile tile, ConvShape shape, LaunchContext context)
    {
        Node? norm = context.Norms.FinishedBy(Node);
        launch.Define("STATISTICS", statistics).Define("FINISH", norm is not null);
        if (!statistics) return;
        int tiles = tile.Tiles(shape);
        var own = new ChannelStatistics(
            context.Scratch(8L * shape.Batch * tiles * Output[3]), context.Upload<float>(Counts(tile, shape)), tiles);
        context.Norms.Provide(Node.Output, own);
        launch.Write(own.Partials).Read(own.Counts);
        if (norm is null) return;
        var op = (GroupNormAffine)norm.Operator;
        Value? film = norm.Inputs[GroupNormAffine.Film], x2 = norm.Inputs[GroupNormAffine.X2];
        ChannelStatistics? other = x2 is null ? null : context.Norms.Of(x2);
        launch.Define("FILM", film is not null)
            .Update(context.Counters(shape.Batch)).Read(other?.Partials ?? default).Read(other?.Counts ?? default)
            .Read(norm.Input(GroupNormAffine.Gamma)).Read(norm.Input(GroupNormAffine.Beta)).Read(film).Write(norm.Output)
            .Argument(other?.Tiles ?? 0).Extent("NORM_C2", x2?.Shape[3] ?? 0).Argument(op.Groups).Argument(op.Epsilon);
    }

    // Pixels of each tile: the last ones of a row or column may be cut.
    private static float[] Counts(ConvTile tile, ConvShape shape)
    {
        int across = ConvTile.Ceiling(shape.OutWidth, tile.Width);
        return [.. Enumerable.Range(0, tile.Tiles(shape)).Select(t =>
            (float)Math.Min(tile.Height, shape.OutHeight - t / across * tile.Height) * Math.Min(
            tile.Width, shape.OutWidth - t % across * tile.Width))];
    }
}
