using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/next_step.cu</c>.</summary>
internal sealed class NextStepLaunch : OperatorLaunch<NextStep>
{
    protected override void Prepare(Node node, NextStep op, LaunchContext context) =>
        context.Kernel("next_step.cu", "next_step_forward").Read(node.Input(NextStep.Step)).Write(node.Output).Launch(1, 1);
}
