using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Reference;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class Conv2dGradTests
{
    private static readonly KernelTolerance Tolerance = new(3e-6, 2e-3, 2e-2, 3e-3);

    // Batch, height, width, input and output channels, kernel, stride, padding.
    private static readonly int[][] Shapes =
    [
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 5, 13, 33, 20, 3, 1, 1],
        [2, 13, 17, 3, 20, 3, 2, 1],
        [1, 8, 8, 34, 17, 3, 2, 1],
        [1, 13, 17, 20, 70, 1, 1, 0],
        [2, 13, 16, 3, 20, 1, 2, 0],
        [1, 6, 5, 4, 3, 5, 1, 2],
        [1, 5, 5, 3, 2, 3, 1, 2],
        [1, 9, 6, 5, 7, 2, 2, 1],
        [1, 1, 70, 24, 16, 3, 1, 1],
        [0, 5, 5, 16, 16, 3, 1, 1],
        [1, 9, 17, 64, 64, 3, 1, 1],
        [2, 7, 9, 40, 72, 3, 2, 0],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_input_gives_each_pixel_its_share(
        int n, int h, int w, int c, int o, int kernel, int stride, int padding) => Check(
        new Conv2dGradInput(stride, padding, h, w), [n, Out(h, kernel, stride, padding), Out(w, kernel, stride, padding), o],
            [o, kernel, kernel, c]);

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_weights_sums_over_pixels(
        int n, int h, int w, int c, int o, int kernel, int stride, int padding) => Check(
        new Conv2dGradWeight(kernel, stride, padding), [n, h, w, c],
            [n, Out(h, kernel, stride, padding), Out(w, kernel, stride, padding), o]);

    /// <summary>Small weights and many pixels: blocks share the pixels, and a second kernel adds what they have found.</summary>
    [TestCase(3, 20, 9)]
    [TestCase(1, 60, 1)]
    public void Many_pixels_are_split_among_blocks(int n, int size, int c) =>
        Check(new Conv2dGradWeight(3, 1, 1), [n, size, size, c], [n, size, size, 5]);

    private static int Out(int size, int kernel, int stride, int padding) => (size + 2 * padding - kernel) / stride + 1;

    private static void Check(Operator op, params Shape[] shapes) => KernelContract.Check(
        Tolerance, (g, v) => g.Apply(op, v),
        a => Definition.Evaluate(op, [.. a.Select((values, i) => new Array64(shapes[i], values))]).Values, shapes);
}
