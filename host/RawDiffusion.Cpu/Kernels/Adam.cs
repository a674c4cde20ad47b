using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Pieces of all parameters, short enough to share out among threads.</summary>
internal static class ParameterPieces
{
    private const long Piece = 16 * 1024;

    /// <summary>First element and length of each piece.</summary>
    public static (long First, int Count)[] Of(ParameterLayout layout)
    {
        var pieces = new List<(long, int)>();
        foreach (Parameter parameter in layout.Parameters)
        {
            for (long first = 0; first < parameter.Shape.Count; first += Piece)
                pieces.Add((parameter.Offset + first, (int)Math.Min(Piece, parameter.Shape.Count - first)));
        }

        return [.. pieces];
    }
}

/// <summary>One pass over parameters, gradients and running means.</summary>
internal sealed unsafe class AdamKernel : CpuKernel<Adam>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly AdamOptions options;
        private readonly (long First, int Count)[] pieces;
        private readonly long count;
        private readonly float* state;
        private readonly float* gradient;
        private readonly float* norm;
        private readonly float* rates;
        private readonly int* step;
        private readonly float* lossScale;
        private readonly float* next;

        public Launch(Node node, CpuContext context)
        {
            var op = (Adam)node.Operator;
            options = op.Options;
            pieces = ParameterPieces.Of(op.Layout);
            count = op.Layout.Count;
            state = context.Pointer(node.Input(Adam.State));
            gradient = context.Pointer(node.Input(Adam.Gradients));
            norm = context.Pointer(node.Input(Adam.Norm));
            rates = context.Pointer(node.Input(Adam.Rates));
            step = (int*)context.Pointer(node.Input(Adam.Step));
            lossScale = context.PointerOrNull(node.Inputs[Adam.Scale]);
            next = context.Pointer(node.Output);
        }

        public override string Description => options.Decoupled ? "adamw" : "adam";

        public override int Tasks(int phase) => pieces.Length;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Run(int phase, int task, float* scratch)
        {
            (long first, int length) = pieces[task];
            if (lossScale is not null && !float.IsFinite(*norm))
            {
                for (int r = 0; r < Adam.Rows; r++)
                    new Span<float>(state + r * count + first, length).CopyTo(new Span<float>(next + r * count + first, length));
                return;
            }
            double t = *step + 1.0 - (lossScale is null ? 0 : lossScale[LossScale.Skipped]), rate = rates[0];
            // Of NaN and a number this is NaN.
            double clip = options.MaxNorm is { } maximum ? Math.Min(1, maximum / (*norm + 1e-6)) : 1;
            if (lossScale is not null) clip /= lossScale[LossScale.Scale];
            V scale = S.Splat((float)clip), decay = S.Splat((float)(options.Decoupled ? 0 : options.WeightDecay));
            V shrink = S.Splat((float)(options.Decoupled ? 1 - rate * options.WeightDecay : 1));
            V beta1 = S.Splat((float)options.Beta1), rest1 = S.Splat((float)(1 - options.Beta1));
            V beta2 = S.Splat((float)options.Beta2), rest2 = S.Splat((float)(1 - options.Beta2));
            V size = S.Splat((float)(-rate / (1 - Math.Pow(options.Beta1, t)))), root = S.Splat(
                (float)(1 / Math.Sqrt(1 - Math.Pow(options.Beta2, t))));
            V epsilon = S.Splat((float)options.Epsilon), share = S.Splat(rates[1]);
            float* tail = stackalloc float[5 * S.Lanes];
            for (int i = 0; i < length; i += S.Lanes)
            {
                long at = first + i;
                float* p = state + at, m = p + Adam.First * count, v = p + Adam.Second * count, a = p
                    + Adam.Average * count, g = gradient + at;
                int valid = Math.Min(S.Lanes, length - i);
                if (valid < S.Lanes)
                {
                    // What lies behind a parameter is nobody's: the last elements go through a padded vector.
                    for (int j = 0; j < valid; j++)
                    {
                        (tail[j], tail[S.Lanes + j], tail[2 * S.Lanes + j], tail[3 * S.Lanes + j], tail[4 * S.Lanes + j]) = (
                            p[j], m[j], v[j], a[j], g[j]);
                    }

                    p = tail;
                    m = p + S.Lanes;
                    v = m + S.Lanes;
                    a = v + S.Lanes;
                    g = a + S.Lanes;
                }
                V old = S.Load(p), slope = S.MultiplyAdd(decay, old, S.Multiply(scale, S.Load(g)));
                V mean = S.MultiplyAdd(beta1, S.Load(m), S.Multiply(rest1, slope));
                V square = S.MultiplyAdd(beta2, S.Load(v), S.Multiply(rest2, S.Multiply(slope, slope)));
                V moved = S.Divide(S.Multiply(size, mean), S.MultiplyAdd(S.Sqrt(square), root, epsilon));
                V parameter = S.MultiplyAdd(old, shrink, moved);
                V average = S.MultiplyAdd(share, S.Subtract(parameter, S.Load(a)), S.Load(a));
                float* to = valid < S.Lanes ? tail : next + at;
                long row = valid < S.Lanes ? S.Lanes : count;
                S.Store(parameter, to);
                S.Store(mean, to + Adam.First * row);
                S.Store(square, to + Adam.Second * row);
                S.Store(average, to + Adam.Average * row);
                for (int j = 0; valid < S.Lanes && j < valid; j++)
                    for (int r = 0; r < Adam.Rows; r++) next[at + r * count + j] = tail[r * S.Lanes + j];
            }
        }
    }
}

/// <summary>Norm of all gradients: squares of each piece in a fixed order, then the pieces, in double precision.</summary>
internal sealed unsafe class GradientNormKernel : CpuKernel<GradientNorm>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // So many squares are added in single precision before they go to double.
        private const int Run32 = 512;

        private readonly (long First, int Count)[] pieces = ParameterPieces.Of(((GradientNorm)node.Operator).Layout);
        private readonly double[] partials = new double[ParameterPieces.Of(((GradientNorm)node.Operator).Layout).Length];
        private readonly float* gradient = context.Pointer(node.Input(GradientNorm.Gradients));
        private readonly float* lossScale = context.PointerOrNull(node.Inputs[GradientNorm.Scale]);
        private readonly float* norm = context.Pointer(node.Output);

        public override string Description => "gradient norm";

        public override int Phases => 2;

        public override int Tasks(int phase) => phase == 0 ? pieces.Length : 1;

        public override void Run(int phase, int task, float* scratch)
        {
            if (phase == 0) partials[task] = Squares(gradient + pieces[task].First, pieces[task].Count);
            else *norm = (float)(Math.Sqrt(partials.Sum()) / (lossScale is null ? 1 : lossScale[LossScale.Scale]));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static double Squares(float* x, int count)
        {
            double total = 0;
            for (int first = 0; first < count; first += Run32)
            {
                int end = Math.Min(count, first + Run32), i = first;
                V sum = S.Zero;
                for (; i <= end - S.Lanes; i += S.Lanes) sum = S.MultiplyAdd(S.Load(x + i), S.Load(x + i), sum);
                total += S.Sum(sum);
                for (; i < end; i++) total += (double)x[i] * x[i];
            }
            return total;
        }
    }
}
