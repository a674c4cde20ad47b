using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/denoise_step.cu</c>.</summary>
internal sealed class DenoiseStepLaunch : OperatorLaunch<DenoiseStep>
{
    protected override void Prepare(Node node, DenoiseStep op, LaunchContext context)
    {
        Value? noise = node.Inputs[DenoiseStep.Noise];
        Storage prediction = context.StorageOf(node.Input(DenoiseStep.Prediction)), x = context.StorageOf(node.Input(DenoiseStep.X));
        Storage z = context.StorageOf(noise ?? node.Input(DenoiseStep.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("denoise_step.cu", "denoise_step_forward")
            .Type("P_T", prediction).Type("X_T", x).Type("N_T", z).Type("Y_T", y).Define("NOISE", noise is not null).Define("CLIP", op.Clip)
            .Read(node.Input(DenoiseStep.Prediction)).Read(node.Input(DenoiseStep.X)).Read(node.Input(DenoiseStep.Table))
            .Read(node.Input(DenoiseStep.Step)).Read(noise).Write(node.Output)
            .Extent("ROWS", node.Input(DenoiseStep.Table).Shape[0]).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, prediction, x, z, y));
    }
}
