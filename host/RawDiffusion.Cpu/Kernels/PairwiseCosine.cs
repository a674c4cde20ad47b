using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Alikeness of latents: a few thousand numbers, in double precision.</summary>
internal sealed unsafe class PairwiseCosineKernel : CpuKernel<PairwiseCosine>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly Latents latents = new(node, context, ((PairwiseCosine)node.Operator).Factors);
        private readonly float* loss = context.Pointer(node.Output);

        public override string Description => "latent orthogonality";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch)
        {
            double total = 0;
            double[] sum = new double[latents.Width];
            for (int n = 0; n < latents.Images; n++)
            {
                // The sum over all pairs is the square of the sum.
                latents.SumUnits(n, sum);
                foreach (double s in sum) total += s * s;
                total -= latents.Factors;
            }
            *loss = (float)(total / ((double)latents.Images * latents.Factors * latents.Factors));
        }
    }
}

/// <summary>Its gradient.</summary>
internal sealed unsafe class PairwiseCosineGradKernel : CpuKernel<PairwiseCosineGrad>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly Latents latents = new(node, context, ((PairwiseCosineGrad)node.Operator).Factors);
        private readonly float* dloss = context.Pointer(node.Input(1));
        private readonly float* gradient = context.Pointer(node.Output);

        public override string Description => "latent orthogonality grad";

        public override int Tasks(int phase) => latents.Images;

        public override void Run(int phase, int task, float* scratch)
        {
            double[] du = new double[latents.Width];
            latents.SumUnits(task, du);
            double scale = 2.0 * *dloss / ((double)latents.Images * latents.Factors * latents.Factors);
            for (int c = 0; c < du.Length; c++) du[c] *= scale;
            for (int factor = 0; factor < latents.Factors; factor++)
            {
                float* z = latents.Row(task, factor), dz = gradient + (z - latents.Row(0, 0));
                double length = latents.Length(z), divisor = Math.Max(length, PairwiseCosine.Epsilon), along = 0;
                for (int c = 0; c < du.Length; c++) along += du[c] * z[c] / divisor;
                if (length <= PairwiseCosine.Epsilon) along = 0;
                for (int c = 0; c < du.Length; c++) dz[c] = (float)((du[c] - along * z[c] / divisor) / divisor);
            }
        }
    }
}

/// <summary>Latents [N, factors * width] as vectors.</summary>
internal readonly unsafe struct Latents(Node node, CpuContext context, int factors)
{
    private readonly float* first = context.Pointer(node.Input(0));

    public int Images { get; } = node.Input(0).Shape[0];

    public int Factors => factors;

    public int Width { get; } = node.Input(0).Shape[1] / factors;

    public float* Row(int image, int factor) => first + ((nint)image * factors + factor) * Width;

    public double Length(float* z)
    {
        double squares = 0;
        for (int c = 0; c < Width; c++) squares += (double)z[c] * z[c];
        return Math.Sqrt(squares);
    }

    /// <summary>The sum of an image's latents, each divided by its length.</summary>
    public void SumUnits(int image, double[] sum)
    {
        Array.Clear(sum);
        for (int factor = 0; factor < factors; factor++)
        {
            float* z = Row(image, factor);
            double length = Math.Max(Length(z), PairwiseCosine.Epsilon);
            for (int c = 0; c < sum.Length; c++) sum[c] += z[c] / length;
        }
    }
}
