using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/attention.cu</c>, backward: the rows' softmax, then dq, and dk with dv.</summary>
internal sealed class AttentionGradLaunch : OperatorLaunch<AttentionGrad>
{
    protected override void Prepare(Node node, AttentionGrad op, LaunchContext context)
    {
        Value qkv = node.Input(AttentionGrad.Qkv), y = node.Input(AttentionGrad.Y), dy = node.Input(AttentionGrad.Dy), dqkv = node.Output;
        int images = y.Shape[0], positions = y.Shape[1] * y.Shape[2], head = y.Shape[3] / op.Heads;
        AttentionTiling.Require(node, head);
        var tiling = AttentionTiling.Backward(context.Precision, head);
        Driver.Dim3 grid = tiling.Grid(positions, op.Heads, images);
        if (grid.Count == 0) return;
        long rows = (long)images * op.Heads * positions;
        DeviceRange softmax = context.Scratch(8 * rows), delta = context.Scratch(4 * rows);
        float factor = (float)(1 / Math.Sqrt(head)), scale = (float)(1 / (Math.Sqrt(head) * Math.Log(2)));

        tiling.Define(context.Kernel("attention.cu", "attention_grad_rows"))
            .Type("X_T", context.StorageOf(qkv)).Type("Y_T", context.StorageOf(y)).Type("DY_T", context.StorageOf(dy))
            .Read(qkv).Read(y).Read(dy).Write(softmax).Write(delta).Extent("POSITIONS", positions).Argument(scale)
            .Launch(grid, 32 * tiling.Warps, tiling.SharedBytes(streamed: 1, owned: 1));
        // Both write a part of dqkv: stating the whole keeps them in order, which costs nothing, for each fills the device.
        Products("attention_grad_queries", 0);
        Products("attention_grad_keys", 2 * tiling.Stream * 12);

        void Products(string kernel, int rowBytes) => tiling.Define(context.Kernel("attention.cu", kernel))
            .Type("X_T", context.StorageOf(qkv)).Type("DY_T", context.StorageOf(dy)).Type("DX_T", context.StorageOf(dqkv))
            .Read(qkv).Read(dy).Read(softmax).Read(delta).Write(dqkv).Extent("POSITIONS", positions).Argument(scale).Argument(factor)
            .Launch(grid, 32 * tiling.Warps, tiling.SharedBytes(streamed: 2, owned: 2) + rowBytes);
    }
}
