using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Group norm's statistics as a scale and a shift for each channel. Phase 0 takes the moments of each channel over a task's
/// pixels, phase 1 merges tasks and channels into groups (Chan et al.).
/// </summary>
internal unsafe class GroupNormStatistics<S, V> : CpuLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly float* x;
    private readonly float* x2;
    private readonly float* gamma;
    private readonly float* beta;
    private readonly float* film;
    private readonly float* partial;
    private readonly int c1;
    private readonly int c2;
    private readonly int groups;
    private readonly float epsilon;
    private readonly int pixels;
    private readonly int tasksPerImage;

    public GroupNormStatistics(Node node, Value? second, CpuContext context, int groups, float epsilon, float* affine)
    {
        Value input = node.Input(GroupNorm.X);
        x = context.Pointer(input);
        x2 = context.PointerOrNull(second);
        gamma = context.Pointer(node.Input(GroupNorm.Gamma));
        beta = context.Pointer(node.Input(GroupNorm.Beta));
        film = context.PointerOrNull(node.Inputs[GroupNorm.Film]);
        c1 = input.Shape[3];
        c2 = second?.Shape[3] ?? 0;
        this.groups = groups;
        this.epsilon = epsilon;
        Affine = affine;
        Images = input.Shape[0];
        pixels = input.Shape[1] * input.Shape[2];
        tasksPerImage = ChannelMoments<S, V>.Tasks(pixels);
        partial = context.Allocate((long)Images * tasksPerImage * 2 * Channels).Pointer;
    }

    public override string Description => "group norm statistics";

    public override int Phases => 2;

    /// <summary>Images.</summary>
    protected int Images { get; }

    /// <summary>Channels, both inputs together.</summary>
    protected int Channels => c1 + c2;

    /// <summary>The result, [N, 2, C].</summary>
    protected float* Affine { get; }

    public override int Tasks(int phase) => phase == 0 ? Images * tasksPerImage : Images;

    public override long ScratchBytes => 4L * 2 * Channels;

    public override void Run(int phase, int task, float* scratch)
    {
        if (phase == 1)
        {
            Merge(task);
            return;
        }
        int n = task / tasksPerImage;
        int first = task % tasksPerImage * ChannelMoments<S, V>.PixelsPerTask;
        int count = Math.Min(ChannelMoments<S, V>.PixelsPerTask, pixels - first);
        float* means = partial + (nint)task * 2 * Channels;
        ChannelMoments<S, V>.Measure(x + ((nint)n * pixels + first) * c1, c1, count, means, means + Channels, scratch);
        if (x2 != null)
            ChannelMoments<S, V>.Measure(x2 + ((nint)n * pixels + first) * c2, c2, count, means + c1, means + Channels + c1, scratch);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Merge(int n)
    {
        int size = Channels / groups;
        float* scale = Affine + (nint)n * 2 * Channels;
        float* shift = scale + Channels;
        for (int g = 0; g < groups; g++)
        {
            double count = 0, mean = 0, squares = 0;
            for (int t = 0; t < tasksPerImage; t++)
            {
                float* part = partial + ((nint)n * tasksPerImage + t) * 2 * Channels;
                double block = Math.Min(ChannelMoments<S, V>.PixelsPerTask, pixels - t * ChannelMoments<S, V>.PixelsPerTask);
                for (int c = g * size; c < (g + 1) * size; c++)
                {
                    double delta = part[c] - mean;
                    double total = count + block;
                    mean += delta * block / total;
                    squares += part[Channels + c] + delta * delta * count * block / total;
                    count = total;
                }
            }
            double rstd = 1 / Math.Sqrt(squares / count + epsilon);
            for (int c = g * size; c < (g + 1) * size; c++)
            {
                double a = gamma[c] * rstd;
                double b = beta[c] - mean * a;
                if (film != null)
                {
                    float* row = film + (nint)n * 2 * Channels;
                    a *= 1 + row[c];
                    b = b * (1 + row[c]) + row[Channels + c];
                }
                scale[c] = (float)a;
                shift[c] = (float)b;
            }
        }
    }
}

/// <summary>The statistics alone, for readers that normalise on load.</summary>
internal sealed unsafe class GroupNormAffineKernel : CpuKernel<GroupNormAffine>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context)
    {
        var op = (GroupNormAffine)node.Operator;
        return new GroupNormStatistics<S, V>(
            node, node.Inputs[GroupNormAffine.X2], context, op.Groups, op.Epsilon, context.Pointer(node.Output));
    }
}

/// <summary>Group norm that writes its result: the statistics, then one pass that applies them.</summary>
internal sealed unsafe class GroupNormKernel : ActivatedKernel<GroupNorm>
{
    protected override Activation ActivationOf(GroupNorm op) => op.Activation;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F>(Node node, CpuContext context)
        : GroupNormStatistics<S, V>(node, null, context, ((GroupNorm)node.Operator).Groups, ((GroupNorm)node.Operator).Epsilon,
            context.Allocate(2L * node.Output.Shape[0] * node.Output.Shape[3]).Pointer)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly int height = node.Output.Shape[1];
        private readonly int width = node.Output.Shape[2];
        private readonly float* source = context.Pointer(node.Input(GroupNorm.X));
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "group norm";

        public override int Phases => 3;

        public override int Tasks(int phase) => phase < 2 ? base.Tasks(phase) : Images * height;

        public override void Run(int phase, int task, float* scratch)
        {
            if (phase < 2)
            {
                base.Run(phase, task, scratch);
                return;
            }
            float* scale = Affine + (nint)(task / height) * 2 * Channels;
            nint at = (nint)task * width * Channels;
            for (int i = 0; i < width; i++, at += Channels)
                Pixel.Apply<S, V, F>(source + at, y + at, Channels, scale, scale + Channels);
        }
    }
}
