using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/add_embedding.cu</c>.</summary>
internal sealed class AddEmbeddingLaunch : OperatorLaunch<AddEmbedding>
{
    protected override void Prepare(Node node, AddEmbedding op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(0)), e = context.StorageOf(node.Input(1)), y = context.StorageOf(node.Output);
        Shape shape = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("add_embedding.cu", "add_embedding_forward")
            .Type("X_T", x).Type("E_T", e).Type("Y_T", y)
            .Read(node.Input(0)).Read(node.Input(1)).Write(node.Output)
            .Extent("COUNT", count).Extent("PIXELS", shape[1] * shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, e, y));
    }
}
