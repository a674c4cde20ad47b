using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Mean and biased variance of each channel: moments of blocks of pixels, merged in double (Chan et al.).</summary>
internal sealed unsafe class BatchNormStatisticsKernel : CpuKernel<BatchNormStatistics>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly int channels;
        private readonly int pixels;
        private readonly float* x;
        private readonly float* statistics;
        private readonly float* partial;

        public Launch(Node node, CpuContext context)
        {
            Shape shape = node.Input(BatchNormStatistics.X).Shape;
            channels = shape[3];
            pixels = checked((int)shape.WithChannels(1).Count);
            x = context.Pointer(node.Input(BatchNormStatistics.X));
            statistics = context.Pointer(node.Output);
            partial = context.Allocate(2L * Tasks(0) * channels).Pointer;
        }

        public override string Description => "batch norm statistics";

        public override int Phases => 2;

        public override long ScratchBytes => 4L * 2 * channels;

        public override int Tasks(int phase) => phase == 0 ? ChannelMoments<S, V>.Tasks(pixels) : 1;

        public override void Run(int phase, int task, float* scratch)
        {
            const int PerTask = ChannelMoments<S, V>.PixelsPerTask;
            if (phase == 0)
            {
                float* means = partial + 2 * (nint)task * channels;
                ChannelMoments<S, V>.Measure(x + (nint)task * PerTask * channels, channels, Math.Min(PerTask, pixels - task * PerTask),
                    means, means + channels, scratch);
                return;
            }
            for (int c = 0; c < channels; c++)
            {
                double count = 0, mean = 0, squares = 0;
                for (int t = 0; t < Tasks(0); t++)
                {
                    float* part = partial + 2 * (nint)t * channels + c;
                    double more = Math.Min(PerTask, pixels - t * PerTask), delta = part[0] - mean, total = count + more;
                    mean += delta * more / total;
                    squares += part[channels] + delta * delta * count * more / total;
                    count = total;
                }
                statistics[c] = (float)mean;
                statistics[channels + c] = (float)(squares / count);
            }
        }
    }
}

/// <summary>Normalises with the batch's statistics.</summary>
internal sealed unsafe class BatchNormTrainKernel : CpuKernel<BatchNormTrain>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImagePixelsLaunch("batch norm train", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float epsilon = ((BatchNormTrain)node.Operator).Epsilon;
        private readonly float* x = context.Pointer(node.Input(BatchNormTrain.X));
        private readonly float* gamma = context.Pointer(node.Input(BatchNormTrain.Gamma));
        private readonly float* beta = context.Pointer(node.Input(BatchNormTrain.Beta));
        private readonly float* statistics = context.Pointer(node.Input(BatchNormTrain.Statistics));
        private readonly float* y = context.Pointer(node.Output);
        private readonly float* scales = context.Allocate(node.Output.Shape[3]).Pointer;

        protected override void Prepare()
        {
            for (int c = 0; c < Channels; c++) scales[c] = (float)(gamma[c] / Math.Sqrt((double)statistics[Channels + c] + epsilon));
        }

        // The mean is subtracted first: a shift that is large against the deviation would take the result's digits.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(int n, nint at, int count)
        {
            for (int i = 0; i < count; i++, at += Channels)
            {
                for (int c = 0; c < Channels; c += S.Lanes)
                {
                    int left = Channels - c;
                    V deviation = S.Subtract(Part<S, V>.Load(x + at + c, left), Part<S, V>.Load(statistics + c, left));
                    Part<S, V>.Store(S.MultiplyAdd(deviation, Part<S, V>.Load(scales + c, left), Part<S, V>.Load(beta + c, left)),
                        y + at + c, left);
                }
            }
        }
    }
}

/// <summary>Moves a running statistic towards the batch's.</summary>
internal sealed unsafe class BatchNormRunningKernel : CpuKernel<BatchNormRunning>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly BatchNormRunning op = (BatchNormRunning)node.Operator;
        private readonly (int Row, double Factor) batch = ((BatchNormRunning)node.Operator).OfBatch();
        private readonly int channels = node.Output.Shape[0];
        private readonly float* running = context.Pointer(node.Input(BatchNormRunning.Running));
        private readonly float* statistics = context.Pointer(node.Input(BatchNormRunning.Statistics));
        private readonly float* next = context.Pointer(node.Output);

        public override string Description => "batch norm running";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch)
        {
            float* own = statistics + batch.Row * channels;
            double share = op.Momentum;
            for (int c = 0; c < channels; c++) next[c] = (float)((1 - share) * running[c] + share * batch.Factor * own[c]);
        }
    }
}

/// <summary>The gradients by gamma and beta.</summary>
internal sealed unsafe class BatchNormGradAffineKernel : CpuKernel<BatchNormGradAffine>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) =>
        new Launch<S, V>(node, node.Input(BatchNormGradAffine.X).Shape, context);

    private sealed class Launch<S, V>(Node node, Shape shape, CpuContext context)
        : PositionSumsLaunch<S, V>("batch norm grad affine", 1, checked((int)shape.WithChannels(1).Count), shape[3], 2, context)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float epsilon = ((BatchNormGradAffine)node.Operator).Epsilon;
        private readonly float* x = context.Pointer(node.Input(BatchNormGradAffine.X));
        private readonly float* statistics = context.Pointer(node.Input(BatchNormGradAffine.Statistics));
        private readonly float* dy = context.Pointer(node.Input(BatchNormGradAffine.Dy));
        private readonly float* gradient = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void AddBlock(int segment, nint at, int count, float* sums)
        {
            for (int c = 0; c < Channels; c += S.Lanes)
            {
                int left = Channels - c;
                V products = S.Zero, plain = S.Zero, mean = Part<S, V>.Load(statistics + c, left);
                float* px = x + at + c, pdy = dy + at + c;
                for (int i = 0; i < count; i++, px += Channels, pdy += Channels)
                {
                    V g = Part<S, V>.Load(pdy, left);
                    products = S.MultiplyAdd(g, S.Subtract(Part<S, V>.Load(px, left), mean), products);
                    plain = S.Add(plain, g);
                }
                Accumulate(sums + c, products, left);
                Accumulate(sums + Channels + c, plain, left);
            }
        }

        protected override void Finish(int segment)
        {
            for (int c = 0; c < Channels; c++)
            {
                gradient[c] = (float)(Total(0, 0, c) / Math.Sqrt((double)statistics[Channels + c] + epsilon));
                gradient[Channels + c] = (float)Total(0, 1, c);
            }
        }
    }
}

/// <summary>The gradient by x.</summary>
internal sealed unsafe class BatchNormGradInputKernel : CpuKernel<BatchNormGradInput>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImagePixelsLaunch("batch norm grad", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float epsilon = ((BatchNormGradInput)node.Operator).Epsilon;
        private readonly double positions = node.Output.Shape.WithChannels(1).Count;
        private readonly float* x = context.Pointer(node.Input(BatchNormGradInput.X));
        private readonly float* gamma = context.Pointer(node.Input(BatchNormGradInput.Gamma));
        private readonly float* statistics = context.Pointer(node.Input(BatchNormGradInput.Statistics));
        private readonly float* dy = context.Pointer(node.Input(BatchNormGradInput.Dy));
        private readonly float* sums = context.Pointer(node.Input(BatchNormGradInput.Sums));
        private readonly float* dx = context.Pointer(node.Output);
        // For each channel: gamma * rstd, mean(dy), rstd * mean(dy xhat).
        private readonly float* table = context.Allocate(3L * node.Output.Shape[3]).Pointer;

        protected override void Prepare()
        {
            for (int c = 0; c < Channels; c++)
            {
                double rstd = 1 / Math.Sqrt((double)statistics[Channels + c] + epsilon);
                table[c] = (float)(gamma[c] * rstd);
                table[Channels + c] = (float)(sums[Channels + c] / positions);
                table[2 * Channels + c] = (float)(rstd * sums[c] / positions);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(int n, nint at, int count)
        {
            for (int i = 0; i < count; i++, at += Channels)
            {
                for (int c = 0; c < Channels; c += S.Lanes)
                {
                    int left = Channels - c;
                    V deviation = S.Subtract(Part<S, V>.Load(x + at + c, left), Part<S, V>.Load(statistics + c, left));
                    V g = S.Subtract(Part<S, V>.Load(dy + at + c, left), Part<S, V>.Load(table + Channels + c, left));
                    g = S.Subtract(g, S.Multiply(deviation, Part<S, V>.Load(table + 2 * Channels + c, left)));
                    Part<S, V>.Store(S.Multiply(g, Part<S, V>.Load(table + c, left)), dx + at + c, left);
                }
            }
        }
    }
}
