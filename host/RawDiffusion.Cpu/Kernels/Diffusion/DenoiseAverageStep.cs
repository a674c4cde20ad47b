using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Mean over factors, output convolution and update in one pass: a strip of mean rows in scratch memory, then for each
/// pixel the few outputs as dot products over nine taps and all channels. A register tile of 32 output columns would be
/// nine tenths empty here.
/// </summary>
internal sealed unsafe class DenoiseAverageStepKernel : ActivatedKernel<DenoiseAverageStep>
{
    protected override Activation ActivationOf(DenoiseAverageStep op) => op.OnLoad;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        // Two more rows than these are averaged for each task: an eighth more work.
        private const int RowsPerTask = 16;

        private readonly RowSum<S, V, F> mean;
        private readonly StepUpdate update;
        private readonly int height;
        private readonly int width;
        private readonly int channels;
        private readonly int outputs;
        private readonly float* weight;
        private readonly float* bias;

        public Launch(Node node, CpuContext context)
        {
            var op = (DenoiseAverageStep)node.Operator;
            mean = new RowSum<S, V, F>(op.Groups, node.Input(DenoiseAverageStep.H).Shape,
                context.Pointer(node.Input(DenoiseAverageStep.H)),
                context.PointerOrNull(node.Inputs[DenoiseAverageStep.Affine]));
            update = new StepUpdate(node, context, op.Clip);
            Shape h = node.Input(DenoiseAverageStep.H).Shape;
            (height, width, channels, outputs) = (h[1], h[2], h[3], node.Output.Shape[3]);
            weight = context.Pointer(node.Input(DenoiseAverageStep.Weight));
            bias = context.PointerOrNull(node.Inputs[DenoiseAverageStep.Bias]);
        }

        public override string Description => "denoise average step";

        public override long ScratchBytes => 4L * (RowsPerTask + 2) * StripRow + 4L * S.Lanes;

        private int StripRow => (width + 2) * channels;

        private int TasksPerImage => (height + RowsPerTask - 1) / RowsPerTask;

        public override int Tasks(int phase) => mean.Groups * TasksPerImage;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Run(int phase, int task, float* scratch)
        {
            int n = task / TasksPerImage, first = task % TasksPerImage * RowsPerTask;
            int rows = Math.Min(RowsPerTask, height - first);
            for (int r = 0; r < rows + 2; r++)
            {
                float* row = scratch + (nint)r * StripRow;
                int y = first + r - 1;
                new Span<float>(row, StripRow).Clear();
                if ((uint)y < (uint)height) mean.Accumulate(n, y, row + channels);
            }
            StepUpdate.Coefficients coefficients = update.Read();
            for (int r = 0; r < rows; r++)
            {
                for (int x = 0; x < width; x++)
                {
                    float* taps = scratch + (nint)r * StripRow + x * channels;
                    nint at = (((nint)n * height + first + r) * width + x) * outputs;
                    for (int o = 0; o < outputs; o++)
                    {
                        float prediction = Dot(taps, weight + (nint)o * 9 * channels) + (bias == null ? 0 : bias[o]);
                        update.Apply(coefficients, at + o, prediction);
                    }
                }
            }
        }

        // Three runs of three neighbouring pixels' channels against nine taps' weights.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Dot(float* taps, float* w)
        {
            int run = 3 * channels;
            V sum0 = S.Zero, sum1 = S.Zero;
            float rest = 0;
            for (int ky = 0; ky < 3; ky++, taps += StripRow, w += run)
            {
                int i = 0;
                for (; i <= run - 2 * S.Lanes; i += 2 * S.Lanes)
                {
                    sum0 = S.MultiplyAdd(S.Load(taps + i), S.Load(w + i), sum0);
                    sum1 = S.MultiplyAdd(S.Load(taps + i + S.Lanes), S.Load(w + i + S.Lanes), sum1);
                }
                for (; i < run; i++) rest += taps[i] * w[i];
            }
            return S.Sum(S.Add(sum0, sum1)) + rest;
        }
    }
}
