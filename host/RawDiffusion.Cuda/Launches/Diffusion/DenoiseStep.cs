using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/denoise_step.cu</c>.</summary>
internal sealed class DenoiseStepLaunch : OperatorLaunch<DenoiseStep>
{
    protected override void Prepare(Node node, DenoiseStep op, LaunchContext context)
    {
        Value? noise = node.Inputs[4];
        Storage prediction = context.StorageOf(node.Input(0)), x = context.StorageOf(node.Input(1));
        Storage z = context.StorageOf(noise ?? node.Input(1)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("denoise_step.cu", "denoise_step_forward")
            .Type("P_T", prediction).Type("X_T", x).Type("N_T", z).Type("Y_T", y).Define("NOISE", noise is not null).Define("CLIP", op.Clip)
            .Read(node.Input(0)).Read(node.Input(1)).Read(node.Input(2)).Read(node.Input(3)).Read(noise).Write(node.Output)
            .Extent("ROWS", node.Input(2).Shape[0]).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, prediction, x, z, y));
    }
}
