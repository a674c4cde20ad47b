using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>One reverse step of all trajectories.</summary>
internal sealed unsafe class DenoiseStepKernel : CpuKernel<DenoiseStep>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ElementwiseLaunch("denoise step", node.Output.Shape.Count)
    {
        private readonly bool clip = ((DenoiseStep)node.Operator).Clip;
        private readonly int rows = node.Input(2).Shape[0];
        private readonly float* prediction = context.Pointer(node.Input(0));
        private readonly float* x = context.Pointer(node.Input(1));
        private readonly float* table = context.Pointer(node.Input(2));
        private readonly int* step = (int*)context.Pointer(node.Input(3));
        private readonly float* noise = context.PointerOrNull(node.Inputs[4]);
        private readonly float* y = context.Pointer(node.Output);

        // Scalar code: the images have three channels, and this is a thousandth of a step.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(long first, int length)
        {
            float* row = table + (nint)Math.Clamp(*step, 0, rows - 1) * DenoiseStep.Columns;
            (float cx, float cp, float c0, float ct, float sigma) = (row[0], row[1], row[2], row[3], row[4]);
            for (nint i = (nint)first; i < (nint)first + length; i++)
            {
                float x0 = cx * x[i] + cp * prediction[i];
                if (clip) x0 = x0 < -1f ? -1f : x0 > 1f ? 1f : x0;
                float next = c0 * x0 + ct * x[i];
                y[i] = noise == null ? next : next + sigma * noise[i];
            }
        }
    }
}
