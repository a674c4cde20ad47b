using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Pointwise activation.</summary>
internal sealed unsafe class ActivateKernel : CpuKernel<Activate>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ElementwiseLaunch("activate", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly Activation activation = ((Activate)node.Operator).Activation;
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length) => Elementwise.Activate<S, V>(activation, x + first, y + first, length);
    }
}
