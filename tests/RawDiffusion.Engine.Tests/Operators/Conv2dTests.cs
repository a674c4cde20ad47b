using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class Conv2dTests
{
    // Batch, height, width, input and output channels, kernel, stride, padding.
    private static readonly int[][] Shapes =
    [
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 3, 5, 3, 1, 1],
        [2, 1, 5, 6, 16, 3, 1, 1],
        [2, 5, 1, 16, 6, 3, 1, 1],
        [1, 3, 3, 20, 33, 3, 1, 0],
        [1, 5, 13, 33, 20, 3, 1, 1],
        [1, 4, 17, 3, 48, 3, 1, 1],
        [1, 3, 33, 16, 80, 3, 1, 1],
        [2, 7, 5, 48, 1, 3, 1, 1],
        [1, 2, 8, 16, 32, 3, 1, 1],
        [1, 2, 16, 32, 64, 3, 1, 1],
        [1, 2, 24, 80, 3, 3, 1, 1],
        [3, 13, 17, 3, 20, 3, 2, 1],
        [1, 13, 17, 20, 33, 3, 2, 1],
        [1, 1, 2, 16, 32, 3, 2, 1],
        [2, 7, 9, 16, 16, 3, 2, 0],
        [1, 8, 8, 33, 17, 3, 2, 1],
        [1, 13, 17, 20, 33, 1, 1, 0],
        [2, 13, 17, 3, 20, 1, 2, 0],
        [2, 1, 37, 24, 72, 1, 1, 0],
        [1, 6, 5, 4, 3, 5, 1, 2],
        [1, 5, 5, 3, 2, 3, 1, 2],
        [1, 9, 6, 5, 7, 2, 2, 1],
        [0, 5, 5, 16, 16, 3, 1, 1],
        // Winograd: one tile, tiles cut on both sides, whole images in a task with a short last one, bands of an image.
        [1, 3, 3, 16, 16, 3, 1, 1],
        [2, 6, 7, 20, 33, 3, 1, 1],
        [0, 8, 8, 16, 16, 3, 1, 1],
        [9, 4, 4, 17, 48, 3, 1, 1],
        [19, 3, 8, 33, 17, 3, 1, 1],
        [8, 11, 13, 19, 65, 3, 1, 1],
        [1, 50, 30, 80, 20, 3, 1, 1],
        [2, 37, 41, 16, 16, 3, 1, 1],
        // Several tasks for an image, and a last one of another height.
        [1, 67, 30, 48, 4, 3, 1, 1],
        [1, 71, 33, 48, 4, 3, 2, 1],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void It_is_a_convolution(int n, int h, int w, int c, int o, int kernel, int stride, int padding)
    {
        OperatorContract.Check(
            "Conv2d",
            (g, v) => g.Conv2d(v[0]!, v[1]!, v[2], stride, padding),
            a => ForwardDefinitions.AddBias(ForwardDefinitions.Conv2d(a[0]!, a[1]!, stride, padding), a[2]!),
            Argument.Input([n, h, w, c]), Argument.Weight([o, kernel, kernel, c]), Argument.Constant([o]));
        OperatorContract.Check(
            "Conv2d",
            (g, v) => g.Conv2d(v[0]!, v[1]!, null, stride, padding),
            a => ForwardDefinitions.Conv2d(a[0]!, a[1]!, stride, padding),
            Argument.Input([n, h, w, c]), Argument.Weight([o, kernel, kernel, c]));
    }

    /// <summary>Every width meets another row of tiles, every channel count another tail.</summary>
    [Test]
    public void Every_width_and_channel_count_meets_its_tail([Values(1, 3)] int kernel)
    {
        for (int width = 1; width <= 40; width++)
        {
            int c = 1 + width * 7 % 19, o = 1 + width * 11 % 37;
            OperatorContract.Check(
                "Conv2d",
                (g, v) => g.Conv2d(v[0]!, v[1]!, null, 1, kernel / 2),
                a => ForwardDefinitions.Conv2d(a[0]!, a[1]!, 1, kernel / 2),
                Argument.Input([1, 2, width, c]), Argument.Weight([o, kernel, kernel, c]));
        }
    }

    /// <summary>Every combination of what can be fused, on shapes with and without tails.</summary>
    [Test]
    public void Fused_inputs_in_every_combination(
        [Values] bool x2, [Values] bool affine, [Values(Activation.None, Activation.Silu, Activation.Relu)] Activation onLoad,
        [Values] bool upsample, [Values] bool embedding, [Values(0, 1, 2)] int residual)
    {
        // Cycles through the rest, so that the number of combinations stays bearable.
        int variant = (x2 ? 1 : 0) + (affine ? 2 : 0) + (upsample ? 4 : 0) + (embedding ? 8 : 0) + 3 * residual + (int)onLoad;
        foreach ((int n, int h, int w, int c, int c2, int o) in (
            ReadOnlySpan<(int, int, int, int, int, int)>)[(2, 3, 5, 6, 20, 33), (1, 4, 2, 16, 32, 32), (9, 6, 4, 18, 7, 21)])
        {
            int kernel = variant % 2 == 0 ? 3 : 1;
            int padding = kernel / 2;
            int stride = variant % 5 == 0 && !upsample && residual < 2 ? 2 : 1;
            var onStore = (Activation)(variant % 3);
            bool bias = variant % 4 != 0;
            int scale = upsample ? 2 : 1;
            // A residual that is read through upsampling needs an output of even size.
            (int height, int width) = residual == 2 && !upsample ? (h + h % 2, w + w % 2) : (h, w);
            int outH = (scale * height + 2 * padding - kernel) / stride + 1, outW = (scale * width + 2 * padding - kernel) / stride + 1;
            int channels = c + (x2 ? c2 : 0);
            var op = new Conv2d(stride, padding)
            {
                OnLoad = onLoad,
                OnStore = onStore,
                Upsample = upsample,
                UpsampleResidual = residual == 2
            };
            OperatorContract.Check(
                "Conv2d",
                (g, v) => g.Apply(op, v),
                a => Definition.Evaluate(op, a),
                Argument.Input([n, height, width, c]),
                Argument.Weight([o, kernel, kernel, channels]),
                bias ? Argument.Constant([o]) : null,
                x2 ? Argument.Input([n, height, width, c2]) : null,
                affine ? Argument.Input([n, 2, channels]) : null,
                embedding ? Argument.Input([n, o]) : null,
                residual == 0 ? null : Argument.Input(residual == 1 ? [n, outH, outW, o] : [n, outH / 2, outW / 2, o]));
        }
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        // conv3x3_s2_p1_..: stride and padding stand in the name; conv1x1 and conv1d have no padding.
        int stride = name.Contains("_s2_", StringComparison.Ordinal) ? 2 : 1;
        int padding = name.Contains("_p1_", StringComparison.Ordinal) ? 1 : 0;
        OperatorContract.Check(
            "Golden",
            (g, v) => g.Conv2d(v[0]!, v[1]!, v[2], stride, padding),
            _ => golden.Image("out"),
            golden.Input("x"), Argument.Of(golden.ConvWeight("weight"), ValueKind.Constant), golden.Constant("bias"));
    }

    [Test]
    public void Golden_downsample_and_upsample_layers()
    {
        var down = new GoldenOp(GoldenOp.Names("downsample_conv").Single());
        OperatorContract.Check("Golden", (g, v) => g.Conv2d(v[0]!, v[1]!, v[2], 2, 1), _ => down.Image("out"),
            down.Input("x"), Argument.Of(down.ConvWeight("param.op.weight"), ValueKind.Constant), down.Constant("param.op.bias"));
        var up = new GoldenOp(GoldenOp.Names("upsample_conv").Single());
        OperatorContract.Check("Golden", (g, v) => g.Conv2d(g.UpsampleNearest(v[0]!), v[1]!, v[2], 1, 1), _ => up.Image("out"),
            up.Input("x"), Argument.Of(up.ConvWeight("param.conv.weight"), ValueKind.Constant), up.Constant("param.conv.bias"));
    }

    [Test]
    public void NaN_reaches_what_depends_on_it(
        [Values(0, 3, 4, 5, 6)] int position, [Values(Activation.None, Activation.Silu, Activation.Relu)] Activation activation)
    {
        var op = new Conv2d(1, 1) { OnLoad = activation, OnStore = activation };
        OperatorContract.CheckNaN((g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), position, element: 5,
            Argument.Input([1, 5, 7, 6]), Argument.Weight([20, 3, 3, 9]), Argument.Constant([20]), Argument.Input([1, 5, 7, 3]),
            Argument.Input([1, 2, 9]), Argument.Input([1, 20]), Argument.Input([1, 5, 7, 20]));
    }

    /// <summary>Winograd mixes the pixels of a tile, so the NaN may reach all of those.</summary>
    [Test]
    public void NaN_is_not_lost_in_a_tile([Values(0, 4)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.Apply(new Conv2d(1, 1), v), a => Definition.Evaluate(new Conv2d(1, 1), a), position, 5, exact: false,
        Argument.Input([2, 8, 9, 20]), Argument.Weight([17, 3, 3, 20]), null, null, Argument.Input([2, 2, 20]), null, null);

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        static Application Conv(int stride, int padding, bool upsampleResidual = false) =>
            (g, v) => g.Apply(new Conv2d(stride, padding) { UpsampleResidual = upsampleResidual }, v, "block.1.conv");
        Argument x = Argument.Input([2, 5, 5, 6]), w = Argument.Weight([8, 3, 3, 6]);
        void Refuses(int[] named, params Argument?[] rest)
        {
            Argument?[] all = [.. rest, .. Enumerable.Repeat<Argument?>(null, 7 - rest.Length)];
            OperatorContract.CheckShapesDisagree("Conv2d", Conv(1, 1), named, all);
            OperatorContract.CheckRefusal(Conv(1, 1), ["block.1.conv"], all);
        }
        Refuses([0, 1], x, Argument.Weight([8, 3, 3, 5]));
        Refuses([1], x, Argument.Weight([8, 3, 2, 6]));
        Refuses([0], Argument.Input([5, 5, 6]), w);
        Refuses([1], x, Argument.Weight([8, 6]));
        Refuses([2], x, w, Argument.Constant([7]));
        Refuses([3], x, w, null, Argument.Input([2, 5, 4, 3]));
        Refuses([4], x, w, null, null, Argument.Input([2, 2, 5]));
        Refuses([5], x, w, null, null, null, Argument.Input([2, 6]));
        Refuses([6], x, w, null, null, null, null, Argument.Input([2, 5, 5, 6]));
        Argument?[] plain = [x, w, null, null, null, null, null];
        OperatorContract.CheckRefusal(Conv(3, 1), ["Conv2d", "stride", "3"], plain);
        OperatorContract.CheckRefusal(Conv(0, 1), ["Conv2d", "stride", "0"], plain);
        OperatorContract.CheckRefusal(Conv(1, 3), ["Conv2d", "padding", "3"], plain);
        OperatorContract.CheckRefusal(Conv(1, -1), ["Conv2d", "padding", "-1"], plain);
        OperatorContract.CheckRefusal(
            Conv(1, 0), ["Conv2d", "in0 [2, 2, 2, 6]", "in1"], [Argument.Input([2, 2, 2, 6]), w, null, null, null, null, null]);
        // Five rows are not twice any number of rows.
        OperatorContract.CheckRefusal(Conv(1, 1, upsampleResidual: true), ["Conv2d", "in6 [2, 2, 2, 8]"],
            [x, w, null, null, null, null, Argument.Input([2, 2, 2, 8])]);
    }

    private static string[] GoldenNames => GoldenOp.Names("conv");
}
