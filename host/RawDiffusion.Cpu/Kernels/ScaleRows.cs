using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Each row times a number of its own.</summary>
internal sealed unsafe class ScaleRowsKernel : CpuKernel<ScaleRows>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* x = context.Pointer(node.Input(ScaleRows.X));
        private readonly float* scale = context.Pointer(node.Input(ScaleRows.Scale));
        private readonly float* y = context.Pointer(node.Output);
        private readonly int rows = node.Output.Shape[0];
        private readonly int count = checked((int)(node.Output.Shape.Count / Math.Max(1, node.Output.Shape[0])));

        public override string Description => "scale rows";

        public override int Tasks(int phase) => rows;

        public override void Run(int phase, int task, float* scratch) =>
            Elementwise.Scale<S, V>(x + (nint)task * count, scale[task], y + (nint)task * count, count);
    }
}
