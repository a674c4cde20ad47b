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
        private readonly Activation activation = ((Activate)node.Operator).Activation;
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length) => Elementwise.Activate<S, V>(activation, x + first, y + first, length);
    }
}

/// <summary>The derivative of an activation, times dy.</summary>
internal sealed unsafe class ActivateGradKernel : CpuKernel<ActivateGrad>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => ((ActivateGrad)node.Operator).Activation switch
    {
        Activation.Silu => new Launch<S, V, SiluDerivative<S, V>>(node, context),
        Activation.Relu => new Launch<S, V, ReluDerivative<S, V>>(node, context),
        _ => new Launch<S, V, IdentityDerivative<S, V>>(node, context),
    };

    private sealed class Launch<S, V, D>(Node node, CpuContext context) : ElementwiseLaunch("activate grad", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
        where D : struct, IFunction<V>
    {
        private readonly float* x = context.Pointer(node.Input(0));
        private readonly float* dy = context.Pointer(node.Input(1));
        private readonly float* dx = context.Pointer(node.Output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        protected override void Run(long first, int length)
        {
            float* from = x + first, cotangent = dy + first, to = dx + first;
            for (int i = 0; i < length; i += S.Lanes)
            {
                int left = length - i;
                Part<S, V>.Store(S.Multiply(Part<S, V>.Load(cotangent + i, left), D.Apply(Part<S, V>.Load(from + i, left))), to + i, left);
            }
        }
    }
}

internal readonly struct IdentityDerivative<S, V> : IFunction<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => S.Splat(1);
}

internal readonly struct SiluDerivative<S, V> : IFunction<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => SimdMath<S, V>.SiluDerivative(x);
}

internal readonly struct ReluDerivative<S, V> : IFunction<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => S.Step(x);
}
