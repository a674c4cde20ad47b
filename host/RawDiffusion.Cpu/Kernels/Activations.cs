using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>An activation as a type, so that loops are compiled for each.</summary>
internal interface IActivation<V>
    where V : unmanaged
{
    static abstract V Apply(V x);

    static abstract V Derivative(V x);
}

internal readonly struct Identity<S, V> : IActivation<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Derivative(V x) => S.Splat(1);
}

internal readonly struct Silu<S, V> : IActivation<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => SimdMath<S, V>.Silu(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Derivative(V x) => SimdMath<S, V>.SiluDerivative(x);
}

internal readonly struct Relu<S, V> : IActivation<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Apply(V x) => SimdMath<S, V>.Relu(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Derivative(V x) => S.Step(x);
}

/// <summary>What is done with an activation's type.</summary>
internal interface IActivationUser<V, R>
    where V : unmanaged
{
    R Use<F>()
        where F : struct, IActivation<V>;
}

/// <summary>The one place that knows each activation's type.</summary>
internal static unsafe class Activations
{
    /// <summary>Gives an activation's type to its user.</summary>
    /// <exception cref="GraphException">This device does not know the activation.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R With<S, V, R, TUser>(Activation activation, TUser user)
        where S : struct, ISimd<V>
        where V : unmanaged
        where TUser : struct, IActivationUser<V, R>
    {
        switch (activation)
        {
            case Activation.None: return user.Use<Identity<S, V>>();
            case Activation.Silu: return user.Use<Silu<S, V>>();
            case Activation.Relu: return user.Use<Relu<S, V>>();
            default: Refuse(activation); return default!;
        }
    }

    /// <summary>The activation of one vector.</summary>
    /// <exception cref="GraphException">This device does not know the activation.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<S, V>(Activation activation, V x)
        where S : struct, ISimd<V>
        where V : unmanaged => With<S, V, V, Applied<V>>(activation, new Applied<V>(x));

    /// <summary><see cref="Pixel.Apply"/> with an activation.</summary>
    /// <exception cref="GraphException">This device does not know the activation.</exception>
    public static delegate*<float*, float*, int, float*, float*, void> PixelLoop<S, V>(Activation activation)
        where S : struct, ISimd<V>
        where V : unmanaged =>
        (delegate*<float*, float*, int, float*, float*, void>)With<S, V, nint, Loop<S, V>>(activation, default);

    // A method of its own, which never returns: a throw among vectors would keep these in memory instead of registers.
    private static void Refuse(Activation activation) => throw GraphException.Unhandled(activation);

    private readonly struct Applied<V>(V x) : IActivationUser<V, V>
        where V : unmanaged
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Use<F>()
            where F : struct, IActivation<V> => F.Apply(x);
    }

    private readonly struct Loop<S, V> : IActivationUser<V, nint>
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        public nint Use<F>()
            where F : struct, IActivation<V> => (nint)(delegate*<float*, float*, int, float*, float*, void>)&Pixel.Apply<S, V, F>;
    }
}

/// <summary>A kernel that is compiled for each activation.</summary>
internal abstract class ActivatedKernel<TOperator> : CpuKernel<TOperator>
    where TOperator : Operator
{
    public sealed override CpuLaunch Prepare<S, V>(Node node, CpuContext context) =>
        Activations.With<S, V, CpuLaunch, Preparation<S, V>>(ActivationOf((TOperator)node.Operator), new(this, node, context));

    protected abstract Activation ActivationOf(TOperator op);

    /// <inheritdoc cref="CpuKernel.Prepare"/>
    protected abstract CpuLaunch Prepare<S, V, F>(Node node, CpuContext context)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>;

    private readonly struct Preparation<S, V>(ActivatedKernel<TOperator> kernel, Node node, CpuContext context)
        : IActivationUser<V, CpuLaunch>
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        public CpuLaunch Use<F>()
            where F : struct, IActivation<V> => kernel.Prepare<S, V, F>(node, context);
    }
}
