using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class UpsampleNearestTests
{
    [TestCase(1, 1, 1, 1)]
    [TestCase(2, 5, 3, 20)]
    [TestCase(3, 13, 17, 33)]
    [TestCase(0, 3, 3, 16)]
    public void Each_pixel_becomes_four(int n, int h, int w, int c) => OperatorContract.Check(
        "UpsampleNearest", (g, v) => g.UpsampleNearest(v[0]!), a => ForwardDefinitions.Upsample(a[0]!), Argument.Input([n, h, w, c]));

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("UpsampleNearest", (g, v) => g.UpsampleNearest(v[0]!), _ => golden.Image("out"), golden.Input("x"));
    }

    [TestCase(1, 1, 1, 1)]
    [TestCase(2, 5, 3, 20)]
    [TestCase(3, 13, 17, 33)]
    [TestCase(0, 3, 3, 16)]
    public void Its_gradient_is_the_sum_of_four(int n, int h, int w, int c) =>
        OperatorContract.CheckDefinition("UpsampleNearestGradInput", new UpsampleNearestGradInput(), Argument.Input([n, 2 * h, 2 * w, c]));

    [TestCaseSource(nameof(GoldenNames))]
    public void Golden_gradients(string name)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("GoldenElementwise", (g, v) => g.Apply(new UpsampleNearestGradInput(), v), _ => golden.Image("grad.x"),
            golden.Input("grad_out"));
    }

    [Test]
    public void NaN_of_dy_reaches_one_element() =>
        OperatorContract.CheckDefinitionNaN(new UpsampleNearestGradInput(), 0, 4 * 17 + 3, Argument.Input([1, 4, 6, 17]));

    [Test]
    public void NaN_reaches_its_four_pixels() => OperatorContract.CheckNaN(
        (g, v) => g.UpsampleNearest(v[0]!), a => ForwardDefinitions.Upsample(a[0]!), 0, 7, Argument.Input([1, 2, 3, 4]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes() =>
        OperatorContract.CheckShapesDisagree("UpsampleNearest", (g, v) => g.UpsampleNearest(v[0]!), [0], Argument.Input([2, 3, 4]));

    private static string[] GoldenNames => GoldenOp.Names("upsample_nearest2");
}
