using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Sum of two tensors.</summary>
internal sealed unsafe class AddKernel : CpuKernel<Add>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ElementwiseLaunch("add", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* a = context.Pointer(node.Input(Add.A));
        private readonly float* b = context.Pointer(node.Input(Add.B));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length) => Elementwise.Add<S, V>(a + first, b + first, y + first, length);
    }
}
