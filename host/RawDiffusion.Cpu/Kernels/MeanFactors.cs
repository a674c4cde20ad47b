using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Weighted sum of each trajectory's rows, through a group norm's affine and activation if asked.</summary>
internal sealed unsafe class MeanFactorsKernel : CpuKernel<MeanFactors>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => ((MeanFactors)node.Operator).OnLoad switch
    {
        Activation.Silu => new Launch<S, V, SiluFunction<S, V>>(node, context),
        Activation.Relu => new Launch<S, V, ReluFunction<S, V>>(node, context),
        _ => new Launch<S, V, IdentityFunction<V>>(node, context),
    };

    private sealed class Launch<S, V, F>(Node node, CpuContext context) : ImageRowsLaunch("mean factors", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IFunction<V>
    {
        private readonly int[] firstRow = [.. FirstRows(((MeanFactors)node.Operator).Groups)];
        private readonly float[] weights = [.. ((MeanFactors)node.Operator).Groups.Weights];
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* affine = context.PointerOrNull(node.Inputs[1]);
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            new Span<float>(output + at, Width * Channels).Clear();
            for (int r = firstRow[n]; r < firstRow[n + 1]; r++)
            {
                float* source = x + ((nint)r * Height + y) * Width * Channels;
                float* scales = affine == null ? null : affine + (nint)r * 2 * Channels;
                for (int i = 0; i < Width; i++) Accumulate(source + i * Channels, output + at + i * Channels, scales, weights[r]);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Accumulate(float* source, float* destination, float* scales, float weight)
        {
            V w = S.Splat(weight);
            int i = 0;
            for (; i <= Channels - S.Lanes; i += S.Lanes)
            {
                V v = S.Load(source + i);
                if (scales != null) v = S.MultiplyAdd(v, S.Load(scales + i), S.Load(scales + Channels + i));
                S.Store(S.MultiplyAdd(F.Apply(v), w, S.Load(destination + i)), destination + i);
            }
            if (i == Channels) return;
            float* tail = stackalloc float[S.Lanes];
            Pixel.Apply<S, V, F>(source + i, tail, Channels - i, scales == null ? null : scales + i, scales + Channels + i);
            for (int j = 0; j < Channels - i; j++) destination[i + j] += weight * tail[j];
        }

        private static IEnumerable<int> FirstRows(FactorGroups groups)
        {
            int row = 0;
            yield return 0;
            foreach (int count in groups.Counts) yield return row += count;
        }
    }
}
