using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/pool2d.cu</c>.</summary>
internal sealed class Pool2dLaunch : OperatorLaunch<Pool2d>
{
    protected override void Prepare(Node node, Pool2d op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(Pool2d.X)), y = context.StorageOf(node.Output);
        Shape input = node.Input(Pool2d.X).Shape, output = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        bool isMax = op.Kind switch
        {
            PoolKind.Max => true,
            PoolKind.Average => false,
            _ => throw GraphException.Unhandled(op.Kind),
        };
        context.Kernel("pool2d.cu", "pool2d_forward")
            .Type("X_T", x).Type("Y_T", y)
            .Define("KERNEL", op.Kernel).Define("STRIDE", op.Stride).Define("PADDING", op.Padding).Define("MAX", isMax)
            .Read(node.Input(Pool2d.X)).Write(node.Output)
            .Extent("COUNT", count).Extent("H", input[1]).Extent("W", input[2]).Extent("OH", output[1]).Extent("OW", output[2])
            .Extent("C", input[3])
            .LaunchElementwise(count, Elementwise.Vector(input[3], x, y));
    }
}
