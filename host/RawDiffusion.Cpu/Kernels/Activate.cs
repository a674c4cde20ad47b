using System.Runtime.CompilerServices;
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
        private readonly delegate*<float*, float*, int, float*, float*, void> apply =
            Activations.PixelLoop<S, V>(((Activate)node.Operator).Activation);

        private readonly float* x = context.Pointer(node.Input(Activate.X));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length) => apply(x + first, y + first, length, null, null);
    }
}

/// <summary>The derivative of an activation, times dy.</summary>
internal sealed unsafe class ActivateGradKernel : ActivatedKernel<ActivateGrad>
{
    protected override Activation ActivationOf(ActivateGrad op) => op.Activation;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F>(Node node, CpuContext context) : ElementwiseLaunch("activate grad", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly float* x = context.Pointer(node.Input(ActivateGrad.X));
        private readonly float* dy = context.Pointer(node.Input(ActivateGrad.Dy));
        private readonly float* dx = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(long first, int length)
        {
            float* from = x + first, cotangent = dy + first, to = dx + first;
            for (int i = 0; i < length; i += S.Lanes)
            {
                int left = length - i;
                Part<S, V>.Store(S.Multiply(Part<S, V>.Load(cotangent + i, left), F.Derivative(Part<S, V>.Load(from + i, left))), to + i,
                    left);
            }
        }
    }
}
