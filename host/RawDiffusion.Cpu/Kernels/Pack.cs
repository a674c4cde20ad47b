using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Copies those gradients that were not computed in their places: often none.</summary>
internal sealed unsafe class PackKernel : CpuKernel<Pack>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch : CpuLaunch
    {
        private readonly List<(nint Source, nint Destination, int Count)> moves = [];

        public Launch(Node node, CpuContext context)
        {
            IReadOnlyList<Parameter> parameters = ((Pack)node.Operator).Layout.Parameters;
            for (int i = 0; i < parameters.Count; i++)
            {
                float* source = context.Pointer(node.Input(i)), destination = context.Pointer(node.Output) + parameters[i].Offset;
                if (source != destination) moves.Add(((nint)source, (nint)destination, checked((int)parameters[i].Shape.Count)));
            }
        }

        public override string Description => $"pack {moves.Count} moved";

        public override int Tasks(int phase) => moves.Count;

        public override void Run(int phase, int task, float* scratch)
        {
            (nint source, nint destination, int count) = moves[task];
            new Span<float>((float*)source, count).CopyTo(new Span<float>((float*)destination, count));
        }
    }
}
