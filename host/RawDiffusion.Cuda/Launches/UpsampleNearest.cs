using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/upsample_nearest.cu</c>.</summary>
internal sealed class UpsampleNearestLaunch : OperatorLaunch<UpsampleNearest>
{
    protected override void Prepare(Node node, UpsampleNearest op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(UpsampleNearest.X)), y = context.StorageOf(node.Output);
        Shape shape = node.Input(UpsampleNearest.X).Shape;
        int count = Elementwise.Count(node.Output) / 4;
        context.Kernel("upsample_nearest.cu", "upsample_nearest_forward")
            .Type("X_T", x).Type("Y_T", y)
            .Read(node.Input(UpsampleNearest.X)).Write(node.Output)
            .Extent("COUNT", count).Extent("W", shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }
}

/// <summary>Launches of <c>kernels/upsample_nearest.cu</c>, backward.</summary>
internal sealed class UpsampleNearestGradInputLaunch : OperatorLaunch<UpsampleNearestGradInput>
{
    protected override void Prepare(Node node, UpsampleNearestGradInput op, LaunchContext context)
    {
        Storage dy = context.StorageOf(node.Input(UpsampleNearestGradInput.Dy)), dx = context.StorageOf(node.Output);
        Shape shape = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("upsample_nearest.cu", "upsample_nearest_grad_input")
            .Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(UpsampleNearestGradInput.Dy)).Write(node.Output)
            .Extent("COUNT", count).Extent("W", shape[2]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], dy, dx));
    }
}
