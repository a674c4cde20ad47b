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
        Activated(S.Zero); // refuses an unknown one now, and not in a run
    }

    /// <summary>Images [N, H, W, C] to which nothing is added.</summary>
    public ConvStore(float* images, Shape shape)
    {
        y = images;
        (height, width, Channels) = (shape[1], shape[2], shape[3]);
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

    /// <summary>
    /// Stores one vector of channels of <paramref name="count"/> (1 to 4) neighbouring pixels; channels beyond the last
    /// are dropped.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Row(int n, int oy, int ox, int count, int channel, V p0, V p1, V p2, V p3, float* addend)
    {
        if (channel + S.Lanes > Channels)
        {
            PartialRow(n, oy, ox, count, channel, p0, p1, p2, p3, addend);
            return;
        }
        nint channels = Channels;
        nint at = (((nint)n * height + oy) * width + ox) * channels + channel;
        float* destination = y + at;
        V add = S.Load(addend + channel);
        p0 = S.Add(p0, add);
        p1 = S.Add(p1, add);
        p2 = S.Add(p2, add);
        p3 = S.Add(p3, add);
        if (residual != null)
        {
            float* from = residual + at;
            nint step1 = channels, step2 = 2 * channels, step3 = 3 * channels;
            if (upsampleResidual)
            {
                // ox is a multiple of 4: the pixels in pairs have one source each.
                from = residual + (((nint)n * (height / 2) + oy / 2) * (width / 2) + ox / 2) * channels + channel;
                (step1, step2, step3) = (0, channels, channels);
            }
            p0 = S.Add(p0, S.Load(from));
            if (count > 1) p1 = S.Add(p1, S.Load(from + step1));
            if (count > 2) p2 = S.Add(p2, S.Load(from + step2));
            if (count > 3) p3 = S.Add(p3, S.Load(from + step3));
        }
        S.Store(Activated(p0), destination);
        if (count > 1) S.Store(Activated(p1), destination + channels);
        if (count > 2) S.Store(Activated(p2), destination + 2 * channels);
        if (count > 3) S.Store(Activated(p3), destination + 3 * channels);
    }

    /// <summary>The vector form of the activation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Activated(V v) => Activations.Apply<S, V>(onStore, v);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void PartialRow(int n, int oy, int ox, int count, int channel, V p0, V p1, V p2, V p3, float* addend)
    {
        float* sums = stackalloc float[4 * S.Lanes];
        S.Store(p0, sums);
        S.Store(p1, sums + S.Lanes);
        S.Store(p2, sums + 2 * S.Lanes);
        S.Store(p3, sums + 3 * S.Lanes);
        for (int i = 0; i < count; i++) Pixel(n, oy, ox + i, channel, Channels - channel, sums + i * S.Lanes, addend);
    }

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
