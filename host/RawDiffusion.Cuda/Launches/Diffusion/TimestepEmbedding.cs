using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/timestep_embedding.cu</c>.</summary>
internal sealed class TimestepEmbeddingLaunch : OperatorLaunch<TimestepEmbedding>
{
    protected override void Prepare(Node node, TimestepEmbedding op, LaunchContext context)
    {
        // Made here: a float32 exponential on the device would round some frequencies differently.
        int half = op.Dimension / 2, count = Elementwise.Count(node.Output);
        float[] frequencies = [.. Enumerable.Range(0, half).Select(i => (float)Math.Exp(-Math.Log(10000) * i / half))];
        context.Kernel("timestep_embedding.cu", "timestep_embedding_forward")
            .Read(node.Input(TimestepEmbedding.T)).Read(context.Upload<float>(frequencies)).Write(node.Output)
            .Extent("COUNT", count).Extent("D", op.Dimension)
            .Launch((count + Elementwise.Block - 1) / Elementwise.Block, Elementwise.Block);
    }
}
