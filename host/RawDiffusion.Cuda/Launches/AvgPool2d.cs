using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/avg_pool2d.cu</c>.</summary>
internal sealed class AvgPool2dLaunch : OperatorLaunch<AvgPool2d>
{
    protected override void Prepare(Node node, AvgPool2d op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(0)), y = context.StorageOf(node.Output);
        Shape shape = node.Input(0).Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("avg_pool2d.cu", "avg_pool2d_forward")
            .Type("X_T", x).Type("Y_T", y).Define("AFFINE", node.Inputs[1] is not null).Define("ACTIVATION", (int)op.OnLoad)
            .Read(node.Input(0)).Read(node.Inputs[1]).Write(node.Output)
            .Extent("COUNT", count).Extent("H", shape[1]).Extent("W", shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }
}

/// <summary>Launches of <c>kernels/avg_pool2d.cu</c>, backward.</summary>
internal sealed class AvgPool2dGradInputLaunch : OperatorLaunch<AvgPool2dGradInput>
{
    protected override void Prepare(Node node, AvgPool2dGradInput op, LaunchContext context)
    {
        Storage dy = context.StorageOf(node.Input(0)), dx = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Output.Shape[3];
        context.Kernel("avg_pool2d.cu", "avg_pool2d_grad_input")
            .Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(0)).Write(node.Output)
            .Extent("COUNT", count).Extent("H", op.Height).Extent("W", op.Width).Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, dy, dx));
    }
}
