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
    public void The_gradient_by_the_input_gives_each_pixel_its_share(int n, int h, int w, int c, int o, int kernel, int stride, int padding) => Check(
        new Conv2dGradInput(stride, padding, h, w), [n, Out(h, kernel, stride, padding), Out(w, kernel, stride, padding), o], [o, kernel, kernel, c]);

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_weights_sums_over_pixels(int n, int h, int w, int c, int o, int kernel, int stride, int padding) => Check(
        new Conv2dGradWeight(kernel, stride, padding), [n, h, w, c], [n, Out(h, kernel, stride, padding), Out(w, kernel, stride, padding), o]);

    /// <summary>Small weights and many pixels: blocks share the pixels, and a second kernel adds what they have found.</summary>
    [TestCase(3, 20, 9)]
    [TestCase(1, 60, 1)]
    public void Many_pixels_are_split_among_blocks(int n, int size, int c) =>
        Check(new Conv2dGradWeight(3, 1, 1), [n, size, size, c], [n, size, size, 5]);

    /// <summary>The definition itself, by finite differences: no kernel could show that it is wrong.</summary>
    [TestCase(1, 1)]
    [TestCase(2, 1)]
    [TestCase(2, 0)]
    public void The_definition_is_the_derivative_of_the_convolution(int stride, int padding)
    {
        var random = new Random(3);
        Array64 Draw(Shape shape) => new Array64(shape).Map(_ => random.NextDouble() - 0.5);
        Array64 x = Draw([2, 6, 5, 3]), weight = Draw([4, 3, 3, 3]);
        var forward = new Conv2d(stride, padding);
        Array64 dy = Draw(Definition.Evaluate(forward, [x, weight]).Shape);
        double Loss() => Definition.Evaluate(forward, [x, weight]).Values.Zip(dy.Values, (a, b) => a * b).Sum();
        foreach ((Array64 of, Array64 gradient) in ((Array64, Array64)[])
            [(x, Definition.Evaluate(new Conv2dGradInput(stride, padding, 6, 5), [dy, weight])), (weight, Definition.Evaluate(new Conv2dGradWeight(3, stride, padding), [x, dy]))])
        {
            Assert.That(gradient.Shape, Is.EqualTo(of.Shape));
            for (int i = 0; i < of.Values.Length; i++)
            {
                // The convolution is linear in each of its operands: a difference of any size is exact.
                double before = Loss();
                of[i] += 1;
                Assert.That(Loss() - before, Is.EqualTo(gradient[i]).Within(1e-10), $"element {i}");
                of[i] -= 1;
            }
        }
    }

    [Test]
    public void Operands_that_do_not_belong_together_are_refused()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 6, 5, 3]), dy = g.Input("dy", [2, 6, 5, 4]), weight = g.Input("weight", [4, 3, 3, 3]);
        Assert.That(() => g.Conv2dGradInput(dy, weight, 2, 1, 6, 5), Throws.InstanceOf<GraphException>().With.Message.Contains("3x3 convolution of a 6x5 image"));
        Assert.That(() => g.Conv2dGradInput(dy, g.Input("other", [5, 3, 3, 3]), 1, 1, 6, 5), Throws.InstanceOf<GraphException>().With.Message.Contains("output channels"));
        Assert.That(() => g.Conv2dGradWeight(x, dy, 3, 1, 0), Throws.InstanceOf<GraphException>().With.Message.Contains("4x3"));
        Assert.That(() => g.Conv2dGradWeight(g.Input("fewer", [1, 6, 5, 3]), dy, 3, 1, 1), Throws.InstanceOf<GraphException>().With.Message.Contains("images"));
    }

    private static int Out(int size, int kernel, int stride, int padding) => (size + 2 * padding - kernel) / stride + 1;

    private static void Check(Operator op, params Shape[] shapes) => KernelContract.Check(
        Tolerance, (g, v) => g.Apply(op, v),
        a => Definition.Evaluate(op, [.. a.Select((values, i) => new Array64(shapes[i], values))]).Values, shapes);
}
