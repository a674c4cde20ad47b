using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class LinearGradTests
{
    // Rows, inputs, outputs.
    private static readonly int[][] Shapes = [[0, 4, 3], [1, 1, 1], [1, 300, 7], [2, 64, 31], [3, 33, 80], [5, 7, 1], [21, 132, 37],
        [400, 40, 5]];

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_input_is_a_product_with_the_weights(int rows, int inputs, int outputs) =>
        Check(new LinearGradInput(), Argument.Input([rows, outputs]), Argument.Input([outputs, inputs]));

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_the_weights_is_a_product_with_the_inputs(int rows, int inputs, int outputs) =>
        Check(new LinearGradWeight(), Argument.Input([rows, outputs]), Argument.Input([rows, inputs]));

    [Test]
    public void Weights_give_the_same_bits_whatever_holds_them()
    {
        WeightKinds.RequireSameBits((g, v) => g.Linear(v[0]!, v[1]!, null), [5, 24], [37, 24]);
        WeightKinds.RequireSameBits((g, v) => g.LinearGradInput(v[0]!, v[1]!), [5, 37], [37, 24]);
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        var dy = Argument.Of(golden.Plain("grad_out"));
        OperatorContract.Check("Golden", (g, v) => g.LinearGradInput(v[0]!, v[1]!), _ => golden.Plain("grad.x"), dy,
            Argument.Of(golden.Plain("weight")));
        OperatorContract.Check("Golden", (g, v) => g.LinearGradWeight(v[0]!, v[1]!), _ => golden.Plain("grad.weight"), dy,
            Argument.Of(golden.Plain("x")));
        if (golden.Has("bias")) OperatorContract.Check("Golden", (g, v) => g.ChannelSum(v[0]!), _ => golden.Plain("grad.bias"), dy);
    }

    private static string[] GoldenNames => GoldenOp.Names("linear");

    private static void Check(Operator op, params Argument?[] arguments) =>
        OperatorContract.Check(op.Name, (g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), arguments);
}
