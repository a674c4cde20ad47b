using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/group_norm.cu</c>: the statistics, then one pass that applies them.</summary>
internal sealed class GroupNormLaunch : OperatorLaunch<GroupNorm>
{
    protected override void Prepare(Node node, GroupNorm op, LaunchContext context)
    {
        Shape shape = node.Output.Shape;
        DeviceRange affine = context.Scratch(8L * shape[0] * shape[3]);
        GroupNormStatistics.Add(context, node, null, op.Groups, op.Epsilon, affine);

        Storage x = context.StorageOf(node.Input(GroupNorm.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("group_norm.cu", "group_norm_apply")
            .Type("X_T", x).Type("Y_T", y).Define("ACTIVATION", (int)op.Activation)
            .Read(node.Input(GroupNorm.X)).Read(affine).Write(node.Output)
            .Extent("COUNT", count).Extent("PIXELS", shape[1] * shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }
}

/// <summary>Launches of <c>kernels/group_norm.cu</c>: the statistics alone, for readers that normalise on load.</summary>
internal sealed class GroupNormAffineLaunch : OperatorLaunch<GroupNormAffine>
{
    protected override void Prepare(Node node, GroupNormAffine op, LaunchContext context) =>
        GroupNormStatistics.Add(context, node, node.Inputs[GroupNormAffine.X2], op.Groups, op.Epsilon,
        context.Memory(node.Output));
}

/// <summary>The statistics kernel, which both operators begin with.</summary>
internal static class GroupNormStatistics
{
    /// <summary>Most tiles of an image: one warp combines a group's.</summary>
    public const int MaxTiles = 64;

    /// <summary>Adds the launch that makes the affine [N, 2, C] of a norm's inputs.</summary>
    public static void Add(LaunchContext context, Node node, Value? second, int groups, float epsilon, DeviceRange affine)
    {
        Value input = node.Input(GroupNorm.X), x2 = second ?? input;
        Storage x = context.StorageOf(input);
        int images = input.Shape[0], pixels = input.Shape[1] * input.Shape[2], c1 = input.Shape[3], c2 = second?.Shape[3] ?? 0;
        int vector = Math.Min(Elementwise.Vector(c1, x, context.StorageOf(x2)), Elementwise.Vector(c2, x, context.StorageOf(x2)));
        var tiles = ChannelTiles.Of(pixels, c1 + c2, vector, MaxTiles);
        context.Kernel("group_norm.cu", "group_norm_affine")
            .Type("X_T", x).Type("X2_T", context.StorageOf(x2)).Define("FILM", node.Inputs[GroupNorm.Film] is not null)
            .Define("VECTOR", vector)
            .Read(input).Read(second).Read(node.Input(GroupNorm.Gamma)).Read(node.Input(GroupNorm.Beta)).Read(node.Inputs[GroupNorm.Film])
            .Read(context.Upload<float>(tiles.Counts(pixels)))
            .Update(context.Scratch(8L * images * tiles.Tiles * (c1 + c2))).Update(context.Counters(images)).Write(affine)
            .Argument(epsilon).Argument(groups).Extent("TILES", tiles.Tiles).Extent("TILE_PIXELS", tiles.TilePixels)
            .Extent("PIXELS", pixels)
            .Extent("C1", c1).Extent("C2", c2)
            .Launch(images * tiles.Tiles, Elementwise.Block);
    }
}
