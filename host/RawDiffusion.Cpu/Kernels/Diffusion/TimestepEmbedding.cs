using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Sinusoidal timestep embedding. Frequencies are rounded to float32 and multiplied by t in float32, as the authors do:
/// near t = 1000 that moves the phase by up to 3e-5, which the goldens contain.
/// </summary>
internal sealed unsafe class TimestepEmbeddingKernel : CpuKernel<TimestepEmbedding>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly int rows = node.Output.Shape[0];
        private readonly int dimension = node.Output.Shape[1];
        private readonly float* t = context.Pointer(node.Input(TimestepEmbedding.T));
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "timestep embedding";

        public override int Tasks(int phase) => rows;

        public override void Run(int phase, int task, float* scratch)
        {
            int half = dimension / 2;
            float* row = y + (nint)task * dimension;
            for (int i = 0; i < half; i++)
            {
                float frequency = (float)Math.Exp(-Math.Log(10000) * i / half);
                float phaseAngle = t[task] * frequency;
                (double sin, double cos) = Math.SinCos(phaseAngle);
                row[i] = (float)cos;
                row[half + i] = (float)sin;
            }
            if (dimension % 2 == 1) row[dimension - 1] = 0;
        }
    }
}
