using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Adds an embedding to every position.</summary>
internal sealed unsafe class AddEmbeddingKernel : CpuKernel<AddEmbedding>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImageRowsLaunch("add embedding", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* x = context.Pointer(node.Input(AddEmbedding.X));
        private readonly float* e = context.Pointer(node.Input(AddEmbedding.Embedding));
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            for (int i = 0; i < Width; i++, at += Channels)
                Elementwise.Add<S, V>(x + at, e + (nint)n * Channels, output + at, Channels);
        }
    }
}

/// <summary>The sum of each image's positions.</summary>
internal sealed unsafe class AddEmbeddingGradEmbeddingKernel : CpuKernel<AddEmbeddingGradEmbedding>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) =>
        new Launch<S, V>(node, node.Input(AddEmbeddingGradEmbedding.Dy).Shape, context);

    private sealed class Launch<S, V>(Node node, Shape shape, CpuContext context)
        : PositionSumsLaunch<S, V>("add embedding grad", shape[0], shape[1] * shape[2], shape[3], 1, context)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* dy = context.Pointer(node.Input(AddEmbeddingGradEmbedding.Dy));
        private readonly float* de = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void AddBlock(int segment, nint at, int count, float* sums)
        {
            int channels = Channels;
            for (int c = 0; c < channels; c += S.Lanes)
            {
                int left = channels - c;
                V sum = S.Zero;
                float* p = dy + at + c;
                for (int i = 0; i < count; i++, p += channels) sum = S.Add(sum, Part<S, V>.Load(p, left));
                Accumulate(sums + c, sum, left);
            }
        }

        protected override void Finish(int segment)
        {
            for (int c = 0; c < Channels; c++) de[(nint)segment * Channels + c] = (float)Total(segment, 0, c);
        }
    }
}
