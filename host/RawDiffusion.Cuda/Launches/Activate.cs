using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/activate.cu</c>.</summary>
internal sealed class ActivateLaunch : OperatorLaunch<Activate>
{
    protected override void Prepare(Node node, Activate op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(Activate.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("activate.cu", "activate_forward")
            .Type("X_T", x).Type("Y_T", y).Define("ACTIVATION", (int)op.Activation)
            .Read(node.Input(Activate.X)).Write(node.Output).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, x, y));
    }
}

/// <summary>Launches of <c>kernels/activate.cu</c>, backward.</summary>
internal sealed class ActivateGradLaunch : OperatorLaunch<ActivateGrad>
{
    protected override void Prepare(Node node, ActivateGrad op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(ActivateGrad.X)), dy = context.StorageOf(node.Input(ActivateGrad.Dy));
        Storage dx = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("activate.cu", "activate_grad")
            .Type("X_T", x).Type("DY_T", dy).Type("DX_T", dx).Define("ACTIVATION", (int)op.Activation)
            .Read(node.Input(ActivateGrad.X)).Read(node.Input(ActivateGrad.Dy)).Write(node.Output).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, x, dy, dx));
    }
}
