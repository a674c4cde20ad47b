using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/attention.cu</c>, forward.</summary>
internal sealed class AttentionLaunch : OperatorLaunch<Attention>
{
    protected override void Prepare(Node node, Attention op, LaunchContext context)
    {
        Value qkv = node.Input(Attention.Qkv), y = node.Output;
        int images = y.Shape[0], positions = y.Shape[1] * y.Shape[2], head = y.Shape[3] / op.Heads;
        AttentionTiling.Require(node, head);
        var tiling = AttentionTiling.Forward(context.Precision, head, positions, op.Heads, images);
        tiling.Define(context.Kernel("attention.cu", "attention_forward"))
            .Type("X_T", context.StorageOf(qkv)).Type("Y_T", context.StorageOf(y))
            .Read(qkv).Write(y).Extent("POSITIONS", positions)
            .Argument((float)(1 / (Math.Sqrt(head) * Math.Log(2))))
            .Launch(tiling.Grid(positions, op.Heads, images), 32 * tiling.Warps,
            tiling.SharedBytes(streamed: 2, owned: tiling.UsesTensorCores ? 0 : 1));
    }
}
