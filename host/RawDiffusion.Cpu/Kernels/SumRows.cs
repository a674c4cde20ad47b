using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Weighted sum of each group's rows, through a group norm's affine and activation if asked.</summary>
internal sealed unsafe class SumRowsKernel : ActivatedKernel<SumRows>
{
    protected override Activation ActivationOf(SumRows op) => op.OnLoad;

    protected override CpuLaunch Prepare<S, V, F>(Node node, CpuContext context) => new Launch<S, V, F>(node, context);

    private sealed class Launch<S, V, F>(Node node, CpuContext context) : ImageRowsLaunch("sum rows", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
        where F : struct, IActivation<V>
    {
        private readonly RowSum<S, V, F> sum = new(((SumRows)node.Operator).Groups, node.Input(SumRows.X).Shape,
            context.Pointer(node.Input(SumRows.X)), context.PointerOrNull(node.Inputs[SumRows.Affine]));

        private readonly float* output = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at)
        {
            new Span<float>(output + at, Width * Channels).Clear();
            sum.Accumulate(n, y, output + at);
        }
    }
}

/// <summary>Adds up image rows of a group, each through affine and activation, times its weight.</summary>
internal sealed unsafe class RowSum<S, V, F>(RowGroups groups, Shape shape, float* x, float* affine)
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IActivation<V>
{
    private readonly int[] firstRow = [.. FirstRows(groups)];
    private readonly float[] weights = [.. groups.Weights];
    private readonly int height = shape[1];
    private readonly int width = shape[2];
    private readonly int channels = shape[3];

    public int Groups => firstRow.Length - 1;

    /// <summary>destination += the weighted sum of row y of group n.</summary>
    public void Accumulate(int n, int y, float* destination)
    {
        for (int r = firstRow[n]; r < firstRow[n + 1]; r++)
        {
            float* source = x + ((nint)r * height + y) * width * channels;
            float* scales = affine == null ? null : affine + (nint)r * 2 * channels;
            for (int i = 0; i < width; i++) AddPixel(source + i * channels, destination + i * channels, scales, weights[r]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddPixel(float* source, float* destination, float* scales, float weight)
    {
        V w = S.Splat(weight);
        int i = 0;
        for (; i <= channels - S.Lanes; i += S.Lanes)
        {
            V v = S.Load(source + i);
            if (scales != null) v = S.MultiplyAdd(v, S.Load(scales + i), S.Load(scales + channels + i));
            S.Store(S.MultiplyAdd(F.Apply(v), w, S.Load(destination + i)), destination + i);
        }
        if (i == channels) return;
        float* tail = stackalloc float[S.Lanes];
        Pixel.Apply<S, V, F>(source + i, tail, channels - i, scales == null ? null : scales + i, scales + channels + i);
        for (int j = 0; j < channels - i; j++) destination[i + j] += weight * tail[j];
    }

    private static IEnumerable<int> FirstRows(RowGroups groups)
    {
        int row = 0;
        yield return 0;
        foreach (int count in groups.Counts) yield return row += count;
    }
}

/// <summary>Each group's gradient for each of its rows, times the row's weight.</summary>
internal sealed unsafe class SumRowsGradInputKernel : CpuKernel<SumRowsGradInput>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ImageRowsLaunch("sum rows grad", node.Output.Shape)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly RowGroups groups = ((SumRowsGradInput)node.Operator).Groups;
        private readonly float* dy = context.Pointer(node.Input(SumRowsGradInput.Dy));
        private readonly float* dx = context.Pointer(node.Output);

        protected override void Row(int n, int y, nint at) => Elementwise.Scale<S, V>(
            dy + ((nint)groups.Owner[n] * Height + y) * Width * Channels, groups.Weights[n], dx + at, Width * Channels);
    }
}
