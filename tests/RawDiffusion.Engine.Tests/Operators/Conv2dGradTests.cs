using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class Conv2dGradTests
{
    // Batch, height, width, input and output channels, kernel, stride, padding.
    private static readonly int[][] Shapes =
    [
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 3, 5, 3, 1, 1],
        [1, 5, 13, 33, 20, 3, 1, 1],
        [2, 13, 17, 3, 20, 3, 2, 1],
        [1, 8, 8, 34, 17, 3, 2, 1],
        [1, 13, 17, 20, 70, 1, 1, 0],
        [2, 13, 16, 3, 20, 1, 2, 0],
        [1, 6, 5, 4, 3, 5, 1, 2],
        [1, 5, 5, 3, 2, 3, 1, 2],
        [1, 7, 8, 3, 9, 5, 2, 4],
        [1, 9, 6, 5, 7, 2, 2, 1],
        [1, 1, 70, 24, 16, 3, 1, 1],
        [0, 5, 5, 16, 16, 3, 1, 1],
        [0, 5, 5, 3, 2, 1, 1, 0],
        [1, 9, 17, 64, 64, 3, 1, 1],
        [2, 7, 9, 40, 72, 3, 2, 0],
        // Small images: many in one tile, and a last tile that is not full.
        [19, 4, 4, 33, 17, 3, 1, 1],
        [23, 2, 2, 17, 33, 3, 1, 1],
        [23, 3, 3, 20, 35, 1, 1, 0],
        [3, 17, 16, 20, 3, 1, 1, 0],
        [7, 4, 4, 20, 35, 3, 2, 1],
        [5, 8, 8, 16, 32, 3, 1, 1],
        // Winograd by the weights: ragged channels, tiles cut on both sides, several blocks of outputs and of inputs.
        [3, 7, 6, 27, 21, 3, 1, 1],
        [2, 8, 11, 52, 70, 3, 1, 1],
    ];

    // Tasks that divide an image, and shares of the positions that are added last: what small shapes do not reach.
    private static readonly int[][] LargeShapes =
    [
        [1, 67, 30, 48, 4, 3, 1, 1],
        [1, 71, 33, 4, 48, 3, 2, 1],
        [3, 40, 37, 9, 5, 3, 1, 1],
        [17, 12, 13, 25, 17, 3, 1, 1],
    ];

    [TestCaseSource(nameof(Shapes))]
    [TestCaseSource(nameof(LargeShapes))]
    public void The_gradient_by_the_input_gives_each_pixel_its_share(int n, int h, int w, int c, int o, int kernel, int stride, int padding)
    {
        var weight = Argument.Input([o, kernel, kernel, c], 0, Math.Sqrt(1.0 / Math.Max(1, kernel * kernel * c)));
        Check(new Conv2dGradInput(stride, padding, h, w), Gradient(n, h, w, o, kernel, stride, padding), weight);
    }

    [TestCaseSource(nameof(Shapes))]
    [TestCaseSource(nameof(LargeShapes))]
    public void The_gradient_by_the_weights_sums_over_pixels(int n, int h, int w, int c, int o, int kernel, int stride, int padding) =>
        Check(new Conv2dGradWeight(kernel, stride, padding), Argument.Input([n, h, w, c]), Gradient(n, h, w, o, kernel, stride, padding));

    /// <summary>The weights of a network in training are no constants; neither device may compute anything else for that.</summary>
    [TestCase(2, 9, 6, 20, 33, 3, 1, 1)]
    [TestCase(3, 8, 8, 32, 16, 3, 1, 1)]
    [TestCase(1, 9, 6, 5, 7, 3, 2, 1)]
    [TestCase(2, 7, 9, 40, 24, 1, 1, 0)]
    public void Weights_give_the_same_bits_whatever_holds_them(int n, int h, int w, int c, int o, int kernel, int stride, int padding)
    {
        Shape weight = [o, kernel, kernel, c];
        foreach (Operator op in (Operator[])[new Conv2d(stride, padding), new Conv2dGradInput(stride, padding, h, w)])
        {
            Shape x = op is Conv2d ? [n, h, w, c] : Gradient(n, h, w, o, kernel, stride, padding).Shape;
            WeightKinds.RequireSameBits((g, v) => g.Apply(op, op is Conv2d ? [v[0], v[1], null, null, null, null, null] : v), x, weight);
        }
    }

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
            [(x, Definition.Evaluate(new Conv2dGradInput(stride, padding, 6, 5), [dy, weight])),
                (weight, Definition.Evaluate(new Conv2dGradWeight(3, stride, padding), [x, dy]))])
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

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        // As in Conv2dTests: stride and padding stand in the name.
        int stride = name.Contains("_s2_", StringComparison.Ordinal) ? 2 : 1;
        int padding = name.Contains("_p1_", StringComparison.Ordinal) ? 1 : 0;
        Array64 x = golden.Image("x"), weight = golden.ConvWeight("weight");
        OperatorContract.Check("Golden", (g, v) => g.Conv2dGradInput(v[0]!, v[1]!, stride, padding, x.Shape[1], x.Shape[2]),
            _ => golden.Image("grad.x"),
            golden.Input("grad_out"), Argument.Of(weight));
        OperatorContract.Check("Golden", (g, v) => g.Conv2dGradWeight(v[0]!, v[1]!, weight.Shape[1], stride, padding),
            _ => golden.ConvWeight("grad.weight"),
            golden.Input("x"), golden.Input("grad_out"));
        if (golden.Has("bias"))
            OperatorContract.Check("Golden", (g, v) => g.ChannelSum(v[0]!), _ => golden.Plain("grad.bias"), golden.Input("grad_out"));
    }

    [Test]
    public void NaN_of_the_gradient_reaches_what_depends_on_it([Values(1, 2)] int stride) => OperatorContract.CheckNaN(
        (g, v) => g.Conv2dGradInput(v[0]!, v[1]!, stride, 1, 5, 7), a =>
            Definition.Evaluate(new Conv2dGradInput(stride, 1, 5, 7), a), 0, element: 5,
        Gradient(1, 5, 7, 6, 3, stride, 1), Argument.Input([6, 3, 3, 9]));

    /// <summary>Padding is multiplied like any pixel, and Winograd mixes the pixels of a tile: a NaN may reach more than it must.</summary>
    [Test]
    public void NaN_is_not_lost([Values(0, 1)] int position, [Values(6, 20)] int outputs, [Values(1, 2)] int stride)
    {
        OperatorContract.CheckNaN(
            (g, v) => g.Conv2dGradInput(v[0]!, v[1]!, stride, 1, 8, 7), a => Definition.Evaluate(new Conv2dGradInput(stride, 1, 8, 7), a),
            position, element: 5, exact: false, Gradient(1, 8, 7, outputs, 3, stride, 1), Argument.Input([outputs, 3, 3, 25]));
        OperatorContract.CheckNaN(
            (g, v) => g.Conv2dGradWeight(v[0]!, v[1]!, 3, stride, 1), a => Definition.Evaluate(new Conv2dGradWeight(3, stride, 1), a),
            position, element: 5, exact: false, Argument.Input([1, 8, 7, 25]), Gradient(1, 8, 7, outputs, 3, stride, 1));
    }

    [Test]
    public void Operands_that_do_not_belong_together_are_refused()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 6, 5, 3]), dy = g.Input("dy", [2, 6, 5, 4]), weight = g.Input("weight", [4, 3, 3, 3]);
        Assert.That(() => g.Conv2dGradInput(dy, weight, 2, 1, 6, 5), Throws.InstanceOf<GraphException>().With.Message.Contains(
            "3x3 convolution of a 6x5 image"));
        Assert.That(() => g.Conv2dGradInput(dy, g.Input("other", [5, 3, 3, 3]), 1, 1, 6, 5),
            Throws.InstanceOf<GraphException>().With.Message.Contains("output channels"));
        Assert.That(() => g.Conv2dGradWeight(x, dy, 3, 1, 0), Throws.InstanceOf<GraphException>().With.Message.Contains("4x3"));
        Assert.That(() => g.Conv2dGradWeight(g.Input("fewer", [1, 6, 5, 3]), dy, 3, 1, 1),
            Throws.InstanceOf<GraphException>().With.Message.Contains("images"));
    }

    private static string[] GoldenNames => GoldenOp.Names("conv");

    private static Argument Gradient(int n, int h, int w, int o, int kernel, int stride, int padding) =>
        Argument.Input([n, Out(h, kernel, stride, padding), Out(w, kernel, stride, padding), o]);

    private static int Out(int size, int kernel, int stride, int padding) => (size + 2 * padding - kernel) / stride + 1;

    private static void Check(Operator op, params Argument?[] arguments) =>
        OperatorContract.Check(op.Name, (g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), arguments);
}
