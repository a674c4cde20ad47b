using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>The sums over positions that all gradients of a group norm need, and their means over groups.</summary>
internal sealed unsafe class GroupNormGradSumsKernel : ActivatedKernel<GroupNormGradSums>
{
    protected override Activation ActivationOf(GroupNormGradSums op) => op.Activation;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) =>
        new Launch<S, V, F>(node, node.Input(GroupNormGradSums.X).Shape, context);

    private sealed class Launch<S, V, F>(Node node, Shape shape, CpuContext context)
        : PositionSumsLaunch<S, V>("group norm grad sums", shape[0], shape[1] * shape[2], shape[3], 2, context)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly int size = shape[3] / ((GroupNormGradSums)node.Operator).Groups;
        private readonly double members = (double)shape[1] * shape[2] * shape[3] / ((GroupNormGradSums)node.Operator).Groups;
        private readonly float* x = context.Pointer(node.Input(GroupNormGradSums.X));
        private readonly float* affine = context.Pointer(node.Input(GroupNormGradSums.Affine));
        private readonly float* normal = context.Pointer(node.Input(GroupNormGradSums.Normal));
        private readonly float* dy = context.Pointer(node.Input(GroupNormGradSums.Dy));
        private readonly float* result = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void AddBlock(int segment, nint at, int count, float* sums)
        {
            for (int c = 0; c < Channels; c += S.Lanes)
            {
                int left = Channels - c;
                float* row = affine + (nint)segment * 2 * Channels + c, normalRow = normal + (nint)segment * 2 * Channels + c;
                V scale = Part<S, V>.Load(row, left), shift = Part<S, V>.Load(row + Channels, left);
                V rstd = Part<S, V>.Load(normalRow, left), offset = Part<S, V>.Load(normalRow + Channels, left);
                V plain = S.Zero, products = S.Zero;
                float* px = x + at + c, pdy = dy + at + c;
                for (int i = 0; i < count; i++, px += Channels, pdy += Channels)
                {
                    V v = Part<S, V>.Load(px, left);
                    V g = S.Multiply(Part<S, V>.Load(pdy, left), F.Derivative(S.MultiplyAdd(scale, v, shift)));
                    plain = S.Add(plain, g);
                    products = S.MultiplyAdd(g, S.MultiplyAdd(rstd, v, offset), products);
                }
                Accumulate(sums + c, plain, left);
                Accumulate(sums + Channels + c, products, left);
            }
        }

        protected override void Finish(int segment)
        {
            float* scales = affine + (nint)segment * 2 * Channels;
            float* to = result + (nint)segment * 4 * Channels;
            for (int first = 0; first < Channels; first += size)
            {
                double plainMean = 0, productMean = 0;
                for (int c = first; c < first + size; c++)
                {
                    double plain = Total(segment, 0, c), products = Total(segment, 1, c);
                    to[c] = (float)plain;
                    to[Channels + c] = (float)products;
                    plainMean += scales[c] * plain / members;
                    productMean += scales[c] * products / members;
                }
                new Span<float>(to + 2 * Channels + first, size).Fill((float)plainMean);
                new Span<float>(to + 3 * Channels + first, size).Fill((float)productMean);
            }
        }
    }
}

/// <summary>The gradient by x, in one pass.</summary>
internal sealed unsafe class GroupNormGradInputKernel : ActivatedKernel<GroupNormGradInput>
{
    protected override Activation ActivationOf(GroupNormGradInput op) => op.Activation;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F>(Node node, CpuContext context) : ImagePixelsLaunch("group norm grad", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly float* x = context.Pointer(node.Input(GroupNormGradInput.X));
        private readonly float* affine = context.Pointer(node.Input(GroupNormGradInput.Affine));
        private readonly float* normal = context.Pointer(node.Input(GroupNormGradInput.Normal));
        private readonly float* dy = context.Pointer(node.Input(GroupNormGradInput.Dy));
        private readonly float* sums = context.Pointer(node.Input(GroupNormGradInput.Sums));
        private readonly float* dx = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(int n, nint at, int count)
        {
            float* scales = affine + (nint)n * 2 * Channels, normals = normal + (nint)n * 2 * Channels, means = sums
                + ((nint)n * 4 + 2) * Channels;
            for (int i = 0; i < count; i++, at += Channels)
            {
                for (int c = 0; c < Channels; c += S.Lanes)
                {
                    int left = Channels - c;
                    V v = Part<S, V>.Load(x + at + c, left), scale = Part<S, V>.Load(scales + c, left);
                    V g = S.Multiply(Part<S, V>.Load(dy + at + c, left),
                        F.Derivative(S.MultiplyAdd(scale, v, Part<S, V>.Load(scales + Channels + c, left))));
                    V xhat = S.MultiplyAdd(Part<S, V>.Load(normals + c, left), v, Part<S, V>.Load(normals + Channels + c, left));
                    V mean = S.MultiplyAdd(xhat, Part<S, V>.Load(means + Channels + c, left), Part<S, V>.Load(means + c, left));
                    Part<S, V>.Store(S.Subtract(S.Multiply(scale, g), mean), dx + at + c, left);
                }
            }
        }
    }
}

/// <summary>The gradients by gamma and beta: sums over images.</summary>
internal sealed unsafe class GroupNormGradAffineKernel : CpuKernel<GroupNormGradAffine>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private const int ChannelsPerTask = 64;

        private readonly int images = node.Input(GroupNormGradAffine.Sums).Shape[0];
        private readonly int channels = node.Input(GroupNormGradAffine.Sums).Shape[2];
        private readonly float* sums = context.Pointer(node.Input(GroupNormGradAffine.Sums));
        private readonly float* film = context.PointerOrNull(node.Inputs[GroupNormGradAffine.Film]);
        private readonly float* gradient = context.Pointer(node.Output);

        public override string Description => "group norm grad affine";

        public override int Tasks(int phase) => (channels + ChannelsPerTask - 1) / ChannelsPerTask;

        public override void Run(int phase, int task, float* scratch)
        {
            for (int c = task * ChannelsPerTask; c < Math.Min(channels, (task + 1) * ChannelsPerTask); c++)
            {
                double gamma = 0, beta = 0;
                for (nint n = 0; n < images; n++)
                {
                    float* row = sums + n * 4 * channels + c;
                    double scale = film == null ? 1 : 1 + (double)film[n * 2 * channels + c];
                    gamma += scale * row[channels];
                    beta += scale * row[0];
                }
                gradient[c] = (float)gamma;
                gradient[channels + c] = (float)beta;
            }
        }
    }
}

/// <summary>The gradient by film.</summary>
internal sealed unsafe class GroupNormGradFilmKernel : CpuKernel<GroupNormGradFilm>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly int images = node.Input(GroupNormGradFilm.Sums).Shape[0];
        private readonly int channels = node.Input(GroupNormGradFilm.Sums).Shape[2];
        private readonly float* sums = context.Pointer(node.Input(GroupNormGradFilm.Sums));
        private readonly float* gamma = context.Pointer(node.Input(GroupNormGradFilm.Gamma));
        private readonly float* beta = context.Pointer(node.Input(GroupNormGradFilm.Beta));
        private readonly float* gradient = context.Pointer(node.Output);

        public override string Description => "group norm grad film";

        public override int Tasks(int phase) => images;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Run(int phase, int task, float* scratch)
        {
            float* from = sums + (nint)task * 4 * channels, to = gradient + (nint)task * 2 * channels;
            for (int c = 0; c < channels; c += S.Lanes)
            {
                int left = channels - c;
                V plain = Part<S, V>.Load(from + c, left), products = Part<S, V>.Load(from + channels + c, left);
                V scale = S.MultiplyAdd(Part<S, V>.Load(gamma + c, left), products, S.Multiply(Part<S, V>.Load(beta + c, left), plain));
                Part<S, V>.Store(scale, to + c, left);
                Part<S, V>.Store(plain, to + channels + c, left);
            }
        }
    }
}
