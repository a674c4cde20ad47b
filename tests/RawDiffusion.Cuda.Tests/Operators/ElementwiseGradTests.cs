using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>Gradients of the operators that only move, scale or add elements.</summary>
public sealed class ElementwiseGradTests
{
    private static readonly KernelTolerance Stored = new(3e-6, 3e-6, 4e-3, 5e-4);

    private static readonly Shape[] Images = [[0, 2, 2, 3], [1, 2, 2, 1], [2, 5, 7, 3], [3, 4, 6, 20], [1, 9, 8, 33], [2, 17, 16, 64]];

    private static readonly int[][] Counts = [[1], [3, 1, 2], [0, 2, 0], []];

    [Test]
    public void An_activations_gradient_is_its_derivative_times_dy(
        [ValueSource(nameof(Images))] Shape shape, [Values] Activation activation) => KernelContract.Check(
        Stored, (g, v) => g.Apply(new ActivateGrad(activation), [v[0], v[1]]),
        a => [.. a[0].Zip(a[1], (x, dy) => dy * Derivative(activation, x))],
        shape, shape);

    [Test]
    public void An_embeddings_gradient_is_the_sum_over_positions([ValueSource(nameof(Images))] Shape shape) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.Apply(new AddEmbeddingGradEmbedding(), [v[0]]),
        a =>
        {
            (int size, int channels) = (shape[1] * shape[2] * shape[3], shape[3]);
            double[] de = new double[shape[0] * channels];
            for (int i = 0; i < a[0].Length; i++) de[i / size * channels + i % channels] += a[0][i];
            return de;
        },
        shape);

    [Test]
    public void A_pools_gradient_is_a_quarter_for_each([ValueSource(nameof(Images))] Shape shape)
    {
        Shape pooled = [shape[0], shape[1] / 2, shape[2] / 2, shape[3]];
        KernelContract.Check(
            Stored, (g, v) => g.Apply(new AvgPool2dGradInput(shape[1], shape[2]), [v[0]]),
            a => Each(shape, (n, h, w, c) => h / 2 < pooled[1] && w / 2 < pooled[2] ? a[0][At(pooled, n, h / 2, w / 2, c)] / 4 : 0),
            pooled);
    }

    [Test]
    public void An_enlargements_gradient_is_the_sum_of_four([ValueSource(nameof(Images))] Shape shape)
    {
        Shape large = [shape[0], 2 * shape[1], 2 * shape[2], shape[3]];
        KernelContract.Check(
            Stored, (g, v) => g.Apply(new UpsampleNearestGradInput(), [v[0]]),
            a => Each(shape, (n, h, w, c) => a[0][At(large, n, 2 * h, 2 * w, c)] + a[0][At(large, n, 2 * h, 2 * w + 1, c)]
                + a[0][At(large, n, 2 * h + 1, 2 * w, c)] + a[0][At(large, n, 2 * h + 1, 2 * w + 1, c)]),
            large);
    }

    [Test]
    public void A_means_gradient_goes_to_all_its_rows_by_their_weights(
        [ValueSource(nameof(Counts))] int[] counts, [Values(1, 20, 33)] int channels)
    {
        var groups = new RowGroups(counts, [.. Enumerable.Range(0, counts.Sum()).Select(r => 0.5f * (r - 2))]);
        Shape dy = [groups.Count, 3, 2, channels];
        KernelContract.Check(
            Stored, (g, v) => g.Apply(new SumRowsGradInput(groups), [v[0]]),
            a => Each(dy.WithRows(groups.Rows), (r, h, w, c) => groups.Weights[r] * a[0][At(dy, groups.Owner[r], h, w, c)]),
            dy);
    }

    [Test]
    public void A_slice_is_a_part_of_the_channels([Values(0, 1, 8)] int start, [Values(0, 3, 16)] int count)
    {
        Shape x = [2, 3, 5, start + count + 8];
        KernelContract.Check(
            KernelTolerance.Exact, (g, v) => g.Slice(v[0], start, count),
            a => Each(x.WithChannels(count), (n, h, w, c) => a[0][At(x, n, h, w, start + c)]),
            x);
    }

    [Test]
    public void A_slice_beyond_the_channels_is_refused()
    {
        var g = new Graph();
        GraphException? e = Assert.Throws<GraphException>(() => g.Slice(g.Input("x", [2, 5]), 3, 3));
        Assert.That(e!.Message, Does.Contain("channels 3 to 5").And.Contain("x [2, 5]"));
    }

    private static double Derivative(Activation activation, double x)
    {
        double sigmoid = 1 / (1 + Math.Exp(-x));
        return activation switch
        {
            Activation.Silu => sigmoid * (1 + x * (1 - sigmoid)),
            Activation.Relu => x > 0 ? 1 : 0,
            _ => 1,
        };
    }

    private static int At(Shape shape, int n, int h, int w, int c) => ((n * shape[1] + h) * shape[2] + w) * shape[3] + c;

    private static double[] Each(Shape shape, Func<int, int, int, int, double> f)
    {
        double[] y = new double[shape.Count];
        for (int i = 0; i < y.Length; i++)
        {
            (int pixel, int c) = Math.DivRem(i, shape[3]);
            (int row, int w) = Math.DivRem(pixel, shape[2]);
            (int n, int h) = Math.DivRem(row, shape[1]);
            y[i] = f(n, h, w, c);
        }
        return y;
    }
}
