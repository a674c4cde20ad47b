using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>How alike vectors are: a few thousand numbers, in double precision.</summary>
internal sealed unsafe class PairwiseCosineKernel : CpuKernel<PairwiseCosine>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly RowVectors vectors = new(node.Input(PairwiseCosine.X), context, ((PairwiseCosine)node.Operator).Vectors);
        private readonly float* loss = context.Pointer(node.Output);

        public override string Description => "pairwise cosine";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch)
        {
            double total = 0;
            double[] sum = new double[vectors.Width];
            for (int n = 0; n < vectors.Rows; n++)
            {
                // The sum over all pairs is the square of the sum.
                vectors.SumUnits(n, sum);
                foreach (double s in sum) total += s * s;
                total -= vectors.Count;
            }
            *loss = (float)(total / ((double)vectors.Rows * vectors.Count * vectors.Count));
        }
    }
}

/// <summary>Its gradient.</summary>
internal sealed unsafe class PairwiseCosineGradKernel : CpuKernel<PairwiseCosineGrad>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly RowVectors vectors = new(node.Input(PairwiseCosineGrad.X), context, ((PairwiseCosineGrad)node.Operator).Vectors);
        private readonly float* dloss = context.Pointer(node.Input(PairwiseCosineGrad.Dloss));
        private readonly float* gradient = context.Pointer(node.Output);

        public override string Description => "pairwise cosine grad";

        public override int Tasks(int phase) => vectors.Rows;

        public override void Run(int phase, int task, float* scratch)
        {
            double[] du = new double[vectors.Width];
            vectors.SumUnits(task, du);
            double scale = 2.0 * *dloss / ((double)vectors.Rows * vectors.Count * vectors.Count);
            for (int c = 0; c < du.Length; c++) du[c] *= scale;
            for (int i = 0; i < vectors.Count; i++)
            {
                float* z = vectors.At(task, i), dz = gradient + (z - vectors.At(0, 0));
                double length = vectors.Length(z), divisor = Math.Max(length, PairwiseCosine.Epsilon), along = 0;
                for (int c = 0; c < du.Length; c++) along += du[c] * z[c] / divisor;
                if (length <= PairwiseCosine.Epsilon) along = 0;
                for (int c = 0; c < du.Length; c++) dz[c] = (float)((du[c] - along * z[c] / divisor) / divisor);
            }
        }
    }
}

/// <summary>Rows [N, count * width] as vectors.</summary>
internal readonly unsafe struct RowVectors(Value x, CpuContext context, int count)
{
    private readonly float* first = context.Pointer(x);

    public int Rows { get; } = x.Shape[0];

    public int Count => count;

    public int Width { get; } = x.Shape[1] / count;

    public float* At(int row, int i) => first + ((nint)row * count + i) * Width;

    public double Length(float* z)
    {
        double squares = 0;
        for (int c = 0; c < Width; c++) squares += (double)z[c] * z[c];
        return Math.Sqrt(squares);
    }

    /// <summary>The sum of a row's vectors, each divided by its length.</summary>
    public void SumUnits(int row, double[] sum)
    {
        Array.Clear(sum);
        for (int i = 0; i < count; i++)
        {
            float* z = At(row, i);
            double length = Math.Max(Length(z), PairwiseCosine.Epsilon);
            for (int c = 0; c < sum.Length; c++) sum[c] += z[c] / length;
        }
    }
}
