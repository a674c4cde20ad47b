using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/loss_scale.cu</c>.</summary>
internal sealed class LossScaleLaunch : OperatorLaunch<LossScale>
{
    protected override void Prepare(Node node, LossScale op, LaunchContext context) =>
        context.Kernel("loss_scale.cu", "loss_scale_update")
            .Read(node.Input(LossScale.State)).Read(node.Input(LossScale.Norm)).Write(node.Output)
            .Argument(LossScale.Interval).Launch(1, 1);
}
