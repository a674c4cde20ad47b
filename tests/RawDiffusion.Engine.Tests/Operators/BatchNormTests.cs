using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class BatchNormTests
{
    [TestCase(1, 1, 1, 1, 1e-5f)]
    [TestCase(3, 7, 5, 10, 1e-5f)]
    [TestCase(2, 3, 13, 33, 0.25f)]
    [TestCase(0, 3, 3, 16, 1e-5f)]
    public void It_normalises_by_running_statistics(int n, int h, int w, int c, float epsilon)
    {
        foreach (Func<Shape, double, double, Argument> make in (Func<Shape, double, double, Argument>[])[Argument.Constant, Argument.Input])
        {
            OperatorContract.Check(
                "BatchNorm",
                (g, v) => g.BatchNorm(v[0]!, v[1]!, v[2]!, v[3]!, v[4]!, epsilon),
                a => ForwardDefinitions.BatchNorm(a[0]!, a[1]!, a[2]!, a[3]!, a[4]!, epsilon),
                Argument.Input([n, h, w, c]), make([c], 1, 0.3), make([c], 0, 1), make([c], 0, 1), make([c], 3, 0.2));
        }
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("Golden", (g, v) => g.BatchNorm(v[0]!, v[1]!, v[2]!, v[3]!, v[4]!), _ => golden.Image("out"),
            golden.Input("x"), golden.Constant("weight"), golden.Constant("bias"), golden.Constant("running_mean"),
            golden.Constant("running_var"));
    }

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 2, 3, 4)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.BatchNorm(v[0]!, v[1]!, v[2]!, v[3]!, v[4]!), a =>
            ForwardDefinitions.BatchNorm(a[0]!, a[1]!, a[2]!, a[3]!, a[4]!, 1e-5), position, 2,
        Argument.Input([2, 3, 3, 5]), Argument.Input([5]), Argument.Input([5]), Argument.Input([5]), Argument.Input([5], 3, 0.2));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes([Values(1, 2, 3, 4)] int position)
    {
        Argument?[] arguments = [Argument.Input([2, 3, 3, 5]), .. Enumerable.Repeat(Argument.Constant([5]), 4)];
        arguments[position] = Argument.Constant([4]);
        Application norm = (g, v) => g.BatchNorm(v[0]!, v[1]!, v[2]!, v[3]!, v[4]!);
        OperatorContract.CheckShapesDisagree("BatchNorm", norm, [position], arguments);
        arguments[position] = null;
        OperatorContract.CheckRefusal(norm, ["BatchNorm", "missing"], arguments);
    }

    private static string[] GoldenNames => GoldenOp.Names("batchnorm_eval");
}
