using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AvgPool2dTests
{
    [Test]
    public void It_averages_squares_through_affine_and_activation([Values] Activation onLoad, [Values] bool affine)
    {
        foreach ((int n, int h, int w, int c) in (
            ReadOnlySpan<(int, int, int, int)>)[(1, 2, 2, 1), (2, 3, 5, 3), (1, 13, 17, 20), (2, 4, 6, 33), (1, 5, 2, 64), (0, 4, 4, 16)])
        {
            OperatorContract.Check(
                "AvgPool2d",
                (g, v) => g.Apply(new AvgPool2d(onLoad), v),
                a => Pool(onLoad, a),
                Argument.Input([n, h, w, c]), affine ? Argument.Input([n, 2, c]) : null);
        }
    }

    [TestCase(1, 2, 2, 1)]
    [TestCase(2, 3, 5, 3)]
    [TestCase(1, 13, 17, 20)]
    [TestCase(2, 4, 7, 33)]
    [TestCase(0, 4, 4, 16)]
    public void Its_gradient_is_a_quarter_for_each(int n, int h, int w, int c) =>
        OperatorContract.CheckDefinition("AvgPool2dGradInput", new AvgPool2dGradInput(h, w), Argument.Input([n, h / 2, w / 2, c]));

    [TestCaseSource(nameof(GoldenNames))]
    public void Golden_gradients(string name)
    {
        var golden = new GoldenOp(name);
        Shape x = golden.Image("x").Shape;
        OperatorContract.Check("GoldenElementwise", (g, v) => g.Apply(new AvgPool2dGradInput(x[1], x[2]), v), _ => golden.Image("grad.x"),
            golden.Input("grad_out"));
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("Golden", (g, v) => g.AvgPool2d(v[0]!), _ => golden.Image("out"), golden.Input("x"));
    }

    [Test]
    public void NaN_reaches_what_depends_on_it([Values] Activation onLoad, [Values(0, 1)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.Apply(new AvgPool2d(onLoad), v), a => Pool(onLoad, a), position, 19, Argument.Input([1, 4, 4, 20]),
            Argument.Input([1, 2, 20]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application pool = (g, v) => g.Apply(new AvgPool2d(), v);
        OperatorContract.CheckShapesDisagree("AvgPool2d", pool, [0], Argument.Input([1, 1, 4, 3]), null);
        OperatorContract.CheckShapesDisagree("AvgPool2d", pool, [0], Argument.Input([4, 4, 3]), null);
        OperatorContract.CheckShapesDisagree("AvgPool2d", pool, [1], Argument.Input([2, 4, 4, 3]), Argument.Input([1, 2, 3]));
    }

    private static string[] GoldenNames => GoldenOp.Names("avgpool2");

    private static Array64 Pool(Activation onLoad, Array64?[] a) =>
        ForwardDefinitions.AvgPool(
        ForwardDefinitions.Activate(onLoad, a[1] is { } affine ? ForwardDefinitions.Affine(a[0]!, affine) : a[0]!));
}
