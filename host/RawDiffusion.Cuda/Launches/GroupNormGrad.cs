using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/group_norm.cu</c>, backward: the sums over positions.</summary>
internal sealed class GroupNormGradSumsLaunch : OperatorLaunch<GroupNormGradSums>
{
    protected override void Prepare(Node node, GroupNormGradSums op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(GroupNormGradSums.X)), dy = context.StorageOf(node.Input(GroupNormGradSums.Dy));
        Shape shape = node.Input(GroupNormGradSums.X).Shape;
        int images = shape[0], pixels = shape[1] * shape[2], channels = shape[3];
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, x, dy), GroupNormStatistics.MaxTiles);
        context.Kernel("group_norm.cu", "group_norm_grad_sums")
            .Type("X_T", x).Type("DY_T", dy).Define("ACTIVATION", (int)op.Activation).Define("VECTOR", tiles.Vector)
            .Read(node.Input(GroupNormGradSums.X)).Read(node.Input(GroupNormGradSums.Affine)).Read(node.Input(GroupNormGradSums.Normal))
            .Read(node.Input(GroupNormGradSums.Dy))
            .Update(context.Scratch(8L * images * tiles.Tiles * channels)).Update(context.Counters(images)).Write(node.Output)
            .Argument(op.Groups).Extent("TILES", tiles.Tiles).Extent("TILE_PIXELS", tiles.TilePixels).Extent("PIXELS", pixels)
            .Extent("C", channels)
            .Launch(images * tiles.Tiles, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/group_norm.cu</c>, backward: the gradient by x.</summary>
internal sealed class GroupNormGradInputLaunch : OperatorLaunch<GroupNormGradInput>
{
    protected override void Prepare(Node node, GroupNormGradInput op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(GroupNormGradInput.X)), dy = context.StorageOf(node.Input(GroupNormGradInput.Dy));
        Storage dx = context.StorageOf(node.Output);
        Shape shape = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("group_norm.cu", "group_norm_grad_input")
            .Type("X_T", x).Type("DY_T", dy).Type("DX_T", dx).Define("ACTIVATION", (int)op.Activation)
            .Read(node.Input(GroupNormGradInput.X)).Read(node.Input(GroupNormGradInput.Affine)).Read(node.Input(GroupNormGradInput.Normal))
            .Read(node.Input(GroupNormGradInput.Dy)).Read(node.Input(GroupNormGradInput.Sums)).Write(node.Output)
            .Extent("COUNT", count).Extent("PIXELS", shape[1] * shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, dy, dx));
    }
}

/// <summary>Launches of <c>kernels/group_norm.cu</c>, backward: the gradients by gamma and beta.</summary>
internal sealed class GroupNormGradAffineLaunch : OperatorLaunch<GroupNormGradAffine>
{
    protected override void Prepare(Node node, GroupNormGradAffine op, LaunchContext context)
    {
        Shape sums = node.Input(GroupNormGradAffine.Sums).Shape;
        context.Kernel("group_norm.cu", "group_norm_grad_affine")
            .Define("FILM", node.Inputs[GroupNormGradAffine.Film] is not null)
            .Read(node.Input(GroupNormGradAffine.Sums)).Read(node.Inputs[GroupNormGradAffine.Film]).Write(node.Output).Extent("N", sums[0])
            .Extent("C", sums[2])
            .Launch((sums[2] + Elementwise.Block - 1) / Elementwise.Block, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/group_norm.cu</c>, backward: the gradient by film.</summary>
internal sealed class GroupNormGradFilmLaunch : OperatorLaunch<GroupNormGradFilm>
{
    protected override void Prepare(Node node, GroupNormGradFilm op, LaunchContext context)
    {
        int count = Elementwise.Count(node.Output);
        context.Kernel("group_norm.cu", "group_norm_grad_film")
            .Read(node.Input(GroupNormGradFilm.Sums)).Read(node.Input(GroupNormGradFilm.Gamma)).Read(node.Input(GroupNormGradFilm.Beta))
            .Write(node.Output)
            .Extent("COUNT", count).Extent("C", node.Input(GroupNormGradFilm.Sums).Shape[2])
            .Launch((count + Elementwise.Block - 1) / Elementwise.Block, Elementwise.Block);
    }
}
