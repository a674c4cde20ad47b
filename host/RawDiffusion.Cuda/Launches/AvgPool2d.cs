using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/avg_pool2d.cu</c>.</summary>
internal sealed class AvgPool2dLaunch : OperatorLaunch<AvgPool2d>
{
    protected override void Prepare(Node node, AvgPool2d op, LaunchContext context)
    {
        // A pair of pools of one tensor: one normalises what it reads, the other does not.
        IReadOnlyList<Node> led = context.Led(node);
        Node main = led.First(n => led.Count == 1 || !IsPlain(n));
        Value? plain = led.FirstOrDefault(n => n != main)?.Output;
        Storage x = context.StorageOf(main.Input(AvgPool2d.X)), y = context.StorageOf(main.Output);
        Shape shape = main.Input(AvgPool2d.X).Shape;
        int count = Elementwise.Count(main.Output);
        LaunchBuilder launch = context.Kernel("avg_pool2d.cu", "avg_pool2d_forward")
            .Type("X_T", x).Type("Y_T", y).Type("PLAIN_T", plain is null ? y : context.StorageOf(plain))
            .Define("AFFINE", main.Inputs[AvgPool2d.Affine] is not null).Define("PLAIN", plain is not null)
            .Define("ACTIVATION", (int)((AvgPool2d)main.Operator).OnLoad)
            .Read(main.Input(AvgPool2d.X)).Read(main.Inputs[AvgPool2d.Affine]).Write(main.Output)
            .Write(plain is null ? default : context.Memory(plain))
            .Extent("COUNT", count).Extent("H", shape[1]).Extent("W", shape[2]).Extent("C", shape[3]);
        launch.LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }

    /// <summary>Whether a pool reads its input as it is.</summary>
    public static bool IsPlain(Node pool) => pool.Inputs[AvgPool2d.Affine] is null && pool.Operator == new AvgPool2d();
}

/// <summary>Launches of <c>kernels/avg_pool2d.cu</c>, backward.</summary>
internal sealed class AvgPool2dGradInputLaunch : OperatorLaunch<AvgPool2dGradInput>
{
    protected override void Prepare(Node node, AvgPool2dGradInput op, LaunchContext context)
    {
        Storage dy = context.StorageOf(node.Input(AvgPool2dGradInput.Dy)), dx = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Output.Shape[3];
        context.Kernel("avg_pool2d.cu", "avg_pool2d_grad_input")
            .Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(AvgPool2dGradInput.Dy)).Write(node.Output)
            .Extent("COUNT", count).Extent("H", op.Height).Extent("W", op.Width).Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, dy, dx));
    }
}
