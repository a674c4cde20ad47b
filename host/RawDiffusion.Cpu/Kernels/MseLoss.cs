using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Weighted mean of squared differences: blocks are added in float32, blocks' sums in double.</summary>
internal sealed unsafe class MseLossKernel : CpuKernel<MseLoss>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private const int ElementsPerTask = 16 * 1024;
        private const int Block = 1024;

        private readonly long count = node.Input(MseLoss.Prediction).Shape.Count;
        private readonly long row = node.Input(MseLoss.Prediction).Shape.Count / node.Input(MseLoss.Prediction).Shape[0];
        private readonly float* prediction = context.Pointer(node.Input(MseLoss.Prediction));
        private readonly float* target = context.Pointer(node.Input(MseLoss.Target));
        private readonly float* weights = context.PointerOrNull(node.Inputs[MseLoss.Weights]);
        private readonly float* loss = context.Pointer(node.Output);
        private readonly double* partial =
            (double*)context.Allocate(2 * (node.Input(MseLoss.Prediction).Shape.Count / ElementsPerTask + 1)).Pointer;

        public override string Description => "mse loss";

        public override int Phases => 2;

        public override int Tasks(int phase) => phase == 0 ? checked((int)((count + ElementsPerTask - 1) / ElementsPerTask)) : 1;

        public override void Run(int phase, int task, float* scratch)
        {
            double sum = 0;
            if (phase == 1)
            {
                for (int t = 0; t < Tasks(0); t++) sum += partial[t];
                *loss = (float)(sum / count);
                return;
            }
            long end = Math.Min(count, (task + 1L) * ElementsPerTask);
            for (long first = (long)task * ElementsPerTask; first < end;)
            {
                long n = first / row;
                int length = (int)Math.Min(Block, Math.Min(end, (n + 1) * row) - first);
                sum += (weights == null ? 1.0 : weights[n]) * Squares(prediction + first, target + first, length);
                first += length;
            }
            partial[task] = sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Squares(float* a, float* b, int length)
        {
            V sum0 = S.Zero, sum1 = S.Zero;
            int i = 0;
            for (; i <= length - 2 * S.Lanes; i += 2 * S.Lanes)
            {
                V d0 = S.Subtract(S.Load(a + i), S.Load(b + i)), d1 = S.Subtract(S.Load(a + i + S.Lanes), S.Load(b + i + S.Lanes));
                sum0 = S.MultiplyAdd(d0, d0, sum0);
                sum1 = S.MultiplyAdd(d1, d1, sum1);
            }
            for (; i < length; i += S.Lanes)
            {
                V d = S.Subtract(Part<S, V>.Load(a + i, length - i), Part<S, V>.Load(b + i, length - i));
                sum0 = S.MultiplyAdd(d, d, sum0);
            }
            return S.Sum(S.Add(sum0, sum1));
        }
    }
}

/// <summary>The difference, scaled.</summary>
internal sealed unsafe class MseLossGradPredictionKernel : CpuKernel<MseLossGradPrediction>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ElementwiseLaunch("mse loss grad", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly long count = node.Output.Shape.Count;
        private readonly long row = node.Output.Shape.Count / node.Output.Shape[0];
        private readonly float* prediction = context.Pointer(node.Input(MseLossGradPrediction.Prediction));
        private readonly float* target = context.Pointer(node.Input(MseLossGradPrediction.Target));
        private readonly float* weights = context.PointerOrNull(node.Inputs[MseLossGradPrediction.Weights]);
        private readonly float* dloss = context.Pointer(node.Input(MseLossGradPrediction.Dloss));
        private readonly float* gradient = context.Pointer(node.Output);

        protected override void Run(long first, int length)
        {
            for (long end = first + length; first < end;)
            {
                long n = first / row, last = Math.Min(end, (n + 1) * row);
                Scale(first, (int)(last - first), (float)(2.0 * *dloss * (weights == null ? 1 : weights[n]) / count));
                first = last;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Scale(long first, int length, float factor)
        {
            V f = S.Splat(factor);
            float* a = prediction + first, b = target + first, to = gradient + first;
            for (int i = 0; i < length; i += S.Lanes)
            {
                int left = length - i;
                Part<S, V>.Store(S.Multiply(S.Subtract(Part<S, V>.Load(a + i, left), Part<S, V>.Load(b + i, left)), f), to + i, left);
            }
        }
    }
}
