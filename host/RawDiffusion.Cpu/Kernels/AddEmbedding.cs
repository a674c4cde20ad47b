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
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* e = context.Pointer(node.Input(1));
        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            for (int i = 0; i < Width; i++, at += Channels)
                Elementwise.Add<S, V>(x + at, e + (nint)n * Channels, output + at, Channels);
        }
    }
}
