using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>One reverse step of all images.</summary>
internal sealed unsafe class DenoiseStepKernel : CpuKernel<DenoiseStep>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : ElementwiseLaunch("denoise step", node.Output.Shape.Count)
    {
        private readonly StepUpdate update = new(node, context, ((DenoiseStep)node.Operator).Clip);
        private readonly float* prediction = context.Pointer(node.Input(DenoiseStep.Prediction));

        // Scalar code: the images have three channels, and this is a thousandth of a step.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(long first, int length)
        {
            StepUpdate.Coefficients coefficients = update.Read();
            for (nint i = (nint)first; i < (nint)first + length; i++) update.Apply(coefficients, i, prediction[i]);
        }
    }
}

/// <summary>The update of a step; x, table, step and noise stand at the same positions in both step operators.</summary>
internal sealed unsafe class StepUpdate(Node node, CpuContext context, bool clip)
{
    private readonly int rows = node.Input(DenoiseStep.Table).Shape[0];
    private readonly float* x = context.Pointer(node.Input(DenoiseStep.X));
    private readonly float* table = context.Pointer(node.Input(DenoiseStep.Table));
    private readonly int* step = (int*)context.Pointer(node.Input(DenoiseStep.Step));
    private readonly float* noise = context.PointerOrNull(node.Inputs[DenoiseStep.Noise]);
    private readonly float* y = context.Pointer(node.Output);

    /// <summary>The table's row for the current step.</summary>
    public Coefficients Read()
    {
        float* row = table + (nint)Math.Clamp(*step, 0, rows - 1) * DenoiseStep.Columns;
        return new Coefficients(row[0], row[1], row[2], row[3], row[4]);
    }

    /// <summary>Updates element i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply(in Coefficients c, nint i, float prediction)
    {
        float x0 = c.PredX * x[i] + c.PredModel * prediction;
        if (clip) x0 = x0 < -1f ? -1f : x0 > 1f ? 1f : x0;
        float next = c.XStart * x0 + c.X * x[i];
        y[i] = noise == null ? next : next + c.Sigma * noise[i];
    }

    public readonly record struct Coefficients(float PredX, float PredModel, float XStart, float X, float Sigma);
}
