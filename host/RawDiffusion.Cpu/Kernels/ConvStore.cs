using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// What a convolution does when it stores: adds bias, embedding and residual (read through upsampling if asked) and
/// applies the activation.
/// </summary>
internal readonly unsafe struct ConvStore<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly float* y;
    private readonly float* bias;
    private readonly float* embedding;
    private readonly float* residual;
    private readonly int height;
    private readonly int width;
    private readonly bool upsampleResidual;
    private readonly Activation onStore;

    public ConvStore(Node node, CpuContext context)
    {
        var op = (Conv2d)node.Operator;
        y = context.Pointer(node.Output);
        bias = context.PointerOrNull(node.Inputs[Conv2d.Bias]);
        embedding = context.PointerOrNull(node.Inputs[Conv2d.Embedding]);
        residual = context.PointerOrNull(node.Inputs[Conv2d.Residual]);
        height = node.Output.Shape[1];
        width = node.Output.Shape[2];
        Channels = node.Output.Shape[3];
        upsampleResidual = op.UpsampleResidual;
        onStore = op.OnStore;
    }

    /// <summary>Output channels.</summary>
    public int Channels { get; }

    /// <summary>Floats that <see cref="LoadAddend"/> writes.</summary>
    public int AddendCount => (Channels + S.Lanes - 1) / S.Lanes * S.Lanes;

    /// <summary>Sums what every pixel of an image adds: bias and embedding.</summary>
    public void LoadAddend(int n, float* addend)
    {
        for (int c = 0; c < Channels; c++)
            addend[c] = (bias == null ? 0 : bias[c]) + (embedding == null ? 0 : embedding[(nint)n * Channels + c]);
        for (int c = Channels; c < AddendCount; c++) addend[c] = 0;
    }

    /// <summary>Stores channels <paramref name="first"/> .. first + count of one pixel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Pixel(int n, int oy, int ox, int first, int count, float* sums, float* addend)
    {
        nint at = (((nint)n * height + oy) * width + ox) * Channels + first;
        float* add = null;
        if (residual != null)
        {
            add = upsampleResidual
                ? residual + (((nint)n * (height / 2) + oy / 2) * (width / 2) + ox / 2) * Channels + first
                : residual + at;
        }
        float* destination = y + at;
        addend += first;
        int i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes)
        {
            V v = S.Add(S.Load(sums + i), S.Load(addend + i));
            if (add != null) v = S.Add(v, S.Load(add + i));
            S.Store(Activated(v), destination + i);
        }
        if (i < count) Tail(sums + i, addend + i, add == null ? null : add + i, destination + i, count - i);
    }

    /// <summary>The vector form of the activation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Activated(V v) => onStore switch
    {
        Activation.Silu => SimdMath<S, V>.Silu(v),
        Activation.Relu => SimdMath<S, V>.Relu(v),
        _ => v,
    };

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Tail(float* sums, float* addend, float* add, float* destination, int count)
    {
        float* tail = stackalloc float[S.Lanes];
        for (int j = 0; j < count; j++) tail[j] = sums[j] + addend[j] + (add == null ? 0 : add[j]);
        for (int j = count; j < S.Lanes; j++) tail[j] = 0;
        S.Store(Activated(S.Load(tail)), tail);
        for (int j = 0; j < count; j++) destination[j] = tail[j];
    }
}
