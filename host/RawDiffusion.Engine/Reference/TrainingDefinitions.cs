using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Reference;

/// <summary>What a training step needs besides gradients, in double precision.</summary>
internal static class TrainingDefinitions
{
    public static Array64 Pack(ParameterLayout layout, IReadOnlyList<Array64?> values)
    {
        var all = new Array64(layout.Shape);
        foreach ((Parameter parameter, Array64? value) in layout.Parameters.Zip(values)) value!.Values.CopyTo(all.Values, parameter.Offset);
        return all;
    }

    public static Array64 GradientNorm(ParameterLayout layout, Array64 gradient, Array64? lossScale) =>
        new([1], [Math.Sqrt(Elements(layout).Sum(i => gradient[i] * gradient[i])) / (lossScale?[Operators.LossScale.Scale] ?? 1)]);

    public static Array64 LossScale(Array64 state, double norm)
    {
        (double scale, double row, double skipped) = (
            state[Operators.LossScale.Scale], state[Operators.LossScale.Row] + 1, state[Operators.LossScale.Skipped]);
        if (!double.IsFinite(norm)) return new Array64([3], [scale / 2, 0, skipped + 1]);
        if (row < Operators.LossScale.Interval) return new Array64([3], [scale, row, skipped]);
        return new Array64([3], [2 * scale > float.MaxValue ? scale : 2 * scale, 0, skipped]);
    }

    public static Array64 Adam(Adam op, Array64 state, Array64 gradient, double norm, Array64 rates, double step, Array64? lossScale)
    {
        (AdamOptions o, double rate, double share, double t) = (
            op.Options, rates[0], rates[1], step + 1 - (lossScale?[Operators.LossScale.Skipped] ?? 0));
        var next = new Array64(state.Shape, [.. state.Values]);
        if (lossScale is not null && !double.IsFinite(norm)) return next;
        double clip = o.MaxNorm is { } maximum ? Math.Min(1, maximum / (norm + 1e-6)) : 1;
        clip /= lossScale?[Operators.LossScale.Scale] ?? 1;
        foreach (int i in Elements(op.Layout))
        {
            double p = state[Operators.Adam.Parameters, i], g = clip * gradient[i];
            if (o.Decoupled) p -= rate * o.WeightDecay * p;
            else g += o.WeightDecay * p;
            double m = o.Beta1 * state[Operators.Adam.First, i] + (1 - o.Beta1) * g;
            double v = o.Beta2 * state[Operators.Adam.Second, i] + (1 - o.Beta2) * g * g;
            p -= rate * (m / (1 - Math.Pow(o.Beta1, t))) / (Math.Sqrt(v / (1 - Math.Pow(o.Beta2, t))) + o.Epsilon);
            next[Operators.Adam.Parameters, i] = p;
            next[Operators.Adam.First, i] = m;
            next[Operators.Adam.Second, i] = v;
            next[Operators.Adam.Average, i] += share * (p - state[Operators.Adam.Average, i]);
        }
        return next;
    }

    public static Array64 ScaleRows(Array64 x, Array64 scale)
    {
        int row = x.Values.Length / Math.Max(1, x.Shape[0]);
        return new Array64(x.Shape, [.. x.Values.Select((v, i) => v * scale[i / row])]);
    }

    public static Array64 PairwiseCosine(int count, Array64 x)
    {
        int rows = x.Shape[0], d = x.Shape[1] / count;
        double total = 0;
        for (int n = 0; n < rows; n++)
        {
            for (int i = 0; i < count; i++)
            {
                for (int j = 0; j < count; j++)
                {
                    for (int c = 0; c < d; c++) total += Unit(x, n, i, c, d) * Unit(x, n, j, c, d);
                    if (i == j) total--;
                }
            }
        }
        return new Array64([1], [total / (rows * count * count)]);
    }

    public static Array64 PairwiseCosineGrad(int count, Array64 x, double dloss)
    {
        int rows = x.Shape[0], d = x.Shape[1] / count;
        var gradient = new Array64(x.Shape);
        for (int n = 0; n < rows; n++)
        {
            for (int i = 0; i < count; i++)
            {
                double[] du = new double[d];
                for (int j = 0; j < count; j++)
                    for (int c = 0; c < d; c++) du[c] += 2 * dloss * Unit(x, n, j, c, d) / (rows * count * count);
                double length = Length(x, n, i, d), along = 0;
                for (int c = 0; c < d; c++) along += du[c] * Unit(x, n, i, c, d);
                // Below the least length the division is by a constant.
                if (length <= Operators.PairwiseCosine.Epsilon) along = 0;
                for (int c = 0; c < d; c++)
                {
                    gradient[n, i * d + c] = (du[c] - along * Unit(x, n, i, c, d)) / Math.Max(
                        length, Operators.PairwiseCosine.Epsilon);
                }
            }
        }
        return gradient;
    }

    private static IEnumerable<int> Elements(ParameterLayout layout) =>
        layout.Parameters.SelectMany(p => Enumerable.Range((int)p.Offset, (int)p.Shape.Count));

    private static double Length(Array64 x, int n, int i, int d)
    {
        double squares = 0;
        for (int c = 0; c < d; c++) squares += x[n, i * d + c] * x[n, i * d + c];
        return Math.Sqrt(squares);
    }

    private static double Unit(Array64 x, int n, int i, int c, int d) =>
        x[n, i * d + c] / Math.Max(Length(x, n, i, d), Operators.PairwiseCosine.Epsilon);
}
