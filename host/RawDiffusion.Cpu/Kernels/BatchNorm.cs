using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Batch norm with running statistics: phase 0 makes a scale and a shift, phase 1 applies them.</summary>
internal sealed unsafe class BatchNormKernel : CpuKernel<BatchNorm>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float epsilon = ((BatchNorm)node.Operator).Epsilon;
        private readonly int pixelsPerTask = node.Output.Shape[2];
        private readonly int tasks = node.Output.Shape[0] * node.Output.Shape[1];
        private readonly int channels = node.Output.Shape[3];
        private readonly float* x = context.Pointer(node.Input(BatchNorm.X));
        private readonly float* gamma = context.Pointer(node.Input(BatchNorm.Gamma));
        private readonly float* beta = context.Pointer(node.Input(BatchNorm.Beta));
        private readonly float* mean = context.Pointer(node.Input(BatchNorm.Mean));
        private readonly float* variance = context.Pointer(node.Input(BatchNorm.Variance));
        private readonly float* y = context.Pointer(node.Output);
        private readonly float* affine = context.Allocate(2L * node.Output.Shape[3]).Pointer;

        public override string Description => "batch norm";

        public override int Phases => 2;

        public override int Tasks(int phase) => phase == 0 ? 1 : tasks;

        public override void Run(int phase, int task, float* scratch)
        {
            if (phase == 0)
            {
                for (int c = 0; c < channels; c++)
                {
                    double scale = gamma[c] / Math.Sqrt((double)variance[c] + epsilon);
                    affine[c] = (float)scale;
                    affine[channels + c] = (float)(beta[c] - mean[c] * scale);
                }
                return;
            }
            nint at = (nint)task * pixelsPerTask * channels;
            for (int i = 0; i < pixelsPerTask; i++, at += channels)
                Pixel.Apply<S, V, Identity<S, V>>(x + at, y + at, channels, affine, affine + channels);
        }
    }
}
