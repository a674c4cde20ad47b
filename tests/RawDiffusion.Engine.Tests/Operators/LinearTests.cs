using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class LinearTests
{
    [Test]
    public void It_is_a_matrix_product([Values(0, 1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 17, 25)] int rows)
    {
        foreach ((int inputs, int outputs) in (ReadOnlySpan<(int, int)>)[(1, 1), (1, 7), (3, 33), (24, 16), (33, 80), (64, 31), (300, 5)])
        {
            foreach (bool bias in (bool[])[true, false])
            {
                OperatorContract.Check(
                    "Linear",
                    (g, v) => g.Linear(v[0]!, v[1]!, v[2]),
                    a => ForwardDefinitions.Linear(a[0]!, a[1]!, a[2]),
                    Argument.Input([rows, inputs]), Argument.Weight([outputs, inputs]), bias ? Argument.Constant([outputs]) : null);
            }
        }
    }

    [Test]
    public void It_applies_an_activation_when_it_stores([Values] Activation activation) => OperatorContract.Check(
        "Linear",
        (g, v) => g.Apply(new Linear { OnStore = activation }, v),
        a => ForwardDefinitions.Activate(activation, ForwardDefinitions.Linear(a[0]!, a[1]!, a[2])),
        Argument.Input([5, 24]), Argument.Weight([37, 24]), Argument.Input([37]));

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("Golden", (g, v) => g.Linear(v[0]!, v[1]!, v[2]), _ => golden.Plain("out"),
            Argument.Of(golden.Plain("x")), golden.Constant("weight"), golden.Constant("bias"));
    }

    [Test]
    public void NaN_reaches_its_row_and_no_other([Values] Activation activation) => OperatorContract.CheckNaN(
        (g, v) => g.Apply(new Linear { OnStore = activation }, v),
        a => ForwardDefinitions.Activate(activation, ForwardDefinitions.Linear(a[0]!, a[1]!, null)),
        0, element: 25, Argument.Input([5, 24]), Argument.Weight([37, 24]), null);

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application linear = (g, v) => g.Linear(v[0]!, v[1]!, v[2]);
        OperatorContract.CheckShapesDisagree("Linear", linear, [0, 1], Argument.Input([2, 5]), Argument.Weight([3, 4]), null);
        OperatorContract.CheckShapesDisagree(
            "Linear", linear, [2], Argument.Input([2, 5]), Argument.Weight([3, 5]), Argument.Constant([5]));
        OperatorContract.CheckShapesDisagree("Linear", linear, [0], Argument.Input([5]), Argument.Weight([3, 5]), null);
        OperatorContract.CheckShapesDisagree("Linear", linear, [1], Argument.Input([2, 5]), Argument.Weight([5]), null);
    }

    private static string[] GoldenNames => GoldenOp.Names("linear");
}
