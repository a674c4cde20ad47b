using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// What a convolution reads, with everything that was fused into reading it: two tensors as one concatenation, the
/// affine of a group norm, an activation, nearest upsampling, zero padding. Rows are brought into a strip of scratch
/// memory once, and the inner loops then see a plain padded image in cache.
/// </summary>
internal readonly unsafe struct ConvSource<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly float* x;
    private readonly float* x2;
    private readonly float* affine;
    private readonly int c1;
    private readonly int c2;
    private readonly int height;
    private readonly int width;
    private readonly int scale;
    private readonly delegate*<float*, float*, int, float*, float*, void> apply; // null: as it is

    public ConvSource(Node node, CpuContext context)
    {
        var op = (Conv2d)node.Operator;
        Value input = node.Input(Conv2d.X);
        x = context.Pointer(input);
        x2 = context.PointerOrNull(node.Inputs[Conv2d.X2]);
        affine = context.PointerOrNull(node.Inputs[Conv2d.Affine]);
        c1 = input.Shape[3];
        c2 = node.Inputs[Conv2d.X2]?.Shape[3] ?? 0;
        height = input.Shape[1];
        width = input.Shape[2];
        scale = op.Upsample ? 2 : 1;
        if (affine != null || op.OnLoad != Activation.None) apply = Activations.PixelLoop<S, V>(op.OnLoad);
    }

    /// <summary>Images [N, H, W, C] with nothing fused into reading them.</summary>
    public ConvSource(float* images, Shape shape)
    {
        x = images;
        (height, width, c1) = (shape[1], shape[2], shape[3]);
        scale = 1;
    }

    /// <summary>Channels, both inputs together.</summary>
    public int Channels => c1 + c2;

    /// <summary>Height as the convolution sees it.</summary>
    public int Height => scale * height;

    /// <summary>Width as the convolution sees it.</summary>
    public int Width => scale * width;

    /// <summary>Loads row <paramref name="y"/> of image <paramref name="n"/> into a strip row of
    /// <paramref name="left"/> + Width + <paramref name="right"/> pixels; rows outside the image are zero.</summary>
    public void LoadRow(int n, int y, float* destination, int left, int right)
    {
        int channels = Channels;
        if ((uint)y >= (uint)Height)
        {
            new Span<float>(destination, (left + Width + right) * channels).Clear();
            return;
        }
        new Span<float>(destination, left * channels).Clear();
        destination += left * channels;
        nint first = ((nint)n * height + y / scale) * width;
        float* scales = affine == null ? null : affine + (nint)n * 2 * channels;
        LoadPixels(x + first * c1, c1, destination, channels, scales, scales + channels);
        if (x2 != null) LoadPixels(x2 + first * c2, c2, destination + c1, channels, scales + c1, scales + channels + c1);
        new Span<float>(destination + (nint)Width * channels, right * channels).Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadPixels(float* source, int count, float* destination, int stride, float* scales, float* shifts)
    {
        if (apply == null)
        {
            if (scale == 1 && count == stride)
            {
                new Span<float>(source, width * count).CopyTo(new Span<float>(destination, width * count));
                return;
            }
            for (int i = 0; i < width; i++, source += count, destination += scale * stride)
            {
                var pixel = new Span<float>(source, count);
                pixel.CopyTo(new Span<float>(destination, count));
                if (scale == 2) pixel.CopyTo(new Span<float>(destination + stride, count));
            }
            return;
        }
        for (int i = 0; i < width; i++, source += count, destination += scale * stride)
        {
            apply(source, destination, count, affine == null ? null : scales, shifts);
            if (scale == 2) new Span<float>(destination, count).CopyTo(new Span<float>(destination + stride, count));
        }
    }
}

/// <summary>Loops over the channels of one pixel.</summary>
internal static unsafe class Pixel
{
    /// <summary>destination = f(scale * source + shift); without scales, f(source). In place is fine.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apply<S, V, F>(float* source, float* destination, int count, float* scales, float* shifts)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        int i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes)
        {
            V v = S.Load(source + i);
            if (scales != null) v = S.MultiplyAdd(v, S.Load(scales + i), S.Load(shifts + i));
            S.Store(F.Apply(v), destination + i);
        }
        if (i == count) return;

        // The last few channels go through a padded vector: the same arithmetic as all others.
        float* tail = stackalloc float[3 * S.Lanes];
        for (int j = 0; j < count - i; j++)
        {
            tail[j] = source[i + j];
            if (scales == null) continue;
            tail[S.Lanes + j] = scales[i + j];
            tail[2 * S.Lanes + j] = shifts[i + j];
        }
        V last = S.Load(tail);
        if (scales != null) last = S.MultiplyAdd(last, S.Load(tail + S.Lanes), S.Load(tail + 2 * S.Lanes));
        S.Store(F.Apply(last), tail);
        for (int j = 0; j < count - i; j++) destination[i + j] = tail[j];
    }
}
