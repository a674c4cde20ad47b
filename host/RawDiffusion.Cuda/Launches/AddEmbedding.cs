using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/add_embedding.cu</c>.</summary>
internal sealed class AddEmbeddingLaunch : OperatorLaunch<AddEmbedding>
{
    protected override void Prepare(Node node, AddEmbedding op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(AddEmbedding.X)), e = context.StorageOf(node.Input(AddEmbedding.Embedding));
        Storage y = context.StorageOf(node.Output);
        Shape shape = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("add_embedding.cu", "add_embedding_forward")
            .Type("X_T", x).Type("E_T", e).Type("Y_T", y)
            .Read(node.Input(AddEmbedding.X)).Read(node.Input(AddEmbedding.Embedding)).Write(node.Output)
            .Extent("COUNT", count).Extent("PIXELS", shape[1] * shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }
}

/// <summary>Launches of <c>kernels/add_embedding.cu</c>, backward.</summary>
internal sealed class AddEmbeddingGradEmbeddingLaunch : OperatorLaunch<AddEmbeddingGradEmbedding>
{
    private const int MaxTiles = 64;

    protected override void Prepare(Node node, AddEmbeddingGradEmbedding op, LaunchContext context)
    {
        Storage dy = context.StorageOf(node.Input(AddEmbeddingGradEmbedding.Dy));
        Shape shape = node.Input(AddEmbeddingGradEmbedding.Dy).Shape;
        int images = shape[0], pixels = shape[1] * shape[2], channels = shape[3];
        var tiles = ChannelTiles.Of(pixels, channels, Elementwise.Vector(channels, dy), MaxTiles);
        context.Kernel("add_embedding.cu", "add_embedding_grad_embedding")
            .Type("DY_T", dy).Define("VECTOR", tiles.Vector)
            .Read(node.Input(AddEmbeddingGradEmbedding.Dy)).Update(context.Scratch(4L * images * tiles.Tiles * channels))
            .Update(context.Counters(images))
            .Write(node.Output)
            .Extent("TILES", tiles.Tiles).Extent("TILE_PIXELS", tiles.TilePixels).Extent("PIXELS", pixels).Extent("C", channels)
            .Launch(images * tiles.Tiles, Elementwise.Block);
    }
}
