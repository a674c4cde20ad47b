using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AttentionGradTests
{
    // Batch, height, width, heads, channels of a head.
    private static readonly int[][] Shapes =
    [
        [1, 1, 1, 1, 4],
        [2, 1, 1, 3, 8],
        [2, 5, 1, 1, 64],
        [1, 5, 5, 4, 16],
        [2, 5, 5, 2, 5],
        [1, 1, 37, 2, 24],
        [1, 37, 1, 3, 33],
        [1, 8, 8, 4, 32],
        [0, 3, 3, 2, 8],
        [2, 0, 3, 2, 8],
        // More than one block of 96 keys and of 64 queries, with short last ones.
        [1, 16, 16, 1, 16],
        [1, 1, 193, 2, 8],
        [1, 12, 25, 1, 48],
        [1, 9, 11, 1, 128],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void It_is_the_definitions(int n, int h, int w, int heads, int d) =>
        OperatorContract.CheckDefinition("AttentionGrad", new AttentionGrad(heads), Inputs(n, h, w, heads, d));

    /// <summary>With the attention's own result, against finite differences of the attention's definition.</summary>
    [Test]
    public void It_is_the_derivative_of_attention() => OperatorContract.Check(
        "FiniteDifference",
        (g, v) => g.AttentionGrad(v[0]!, g.Attention(v[0]!, 2), v[1]!, 2),
        a =>
        {
            double Loss(int i, double change)
            {
                var moved = new Array64(a[0]!.Shape, [.. a[0]!.Values]);
                moved[i] += change;
                return ForwardDefinitions.Attention(moved, 2).Values.Zip(a[1]!.Values, (y, d) => y * d).Sum();
            }
            return new Array64(a[0]!.Shape,
                [.. Enumerable.Range(0, a[0]!.Values.Length).Select(i => (Loss(i, 1e-4) - Loss(i, -1e-4)) / 2e-4)]);
        },
        Argument.Input([1, 5, 1, 18]), Argument.Input([1, 5, 1, 6]));

    /// <summary>Scores of hundreds: the exponentials underflow for all keys but a few, and would overflow unshifted.</summary>
    [Test]
    public void Large_scores_neither_overflow_nor_lose_the_winner()
    {
        // Multiples of 1/4 have exact products, so that the comparison is of the softmax and not of the scores' rounding.
        Array64 qkv = Argument.Input([1, 20, 5, 3 * 2 * 16], 0, 10).Draw(new Random(3)).Map(v => Math.Round(v * 4) / 4);
        OperatorContract.CheckDefinition("AttentionGrad", new AttentionGrad(2), Argument.Of(qkv), Argument.Input([1, 20, 5, 32]),
            Argument.Input([1, 20, 5, 32]));
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        int heads = name[name.IndexOf("_h", StringComparison.Ordinal) + 2] - '0';
        OperatorContract.Check(
            "Golden", (g, v) => g.AttentionGrad(v[0]!, g.Attention(v[0]!, heads), v[1]!, heads), _ => golden.Image("grad.x"),
                golden.Input("x"), golden.Input("grad_out"));
    }

    /// <summary>In a query, a key and a value; in y and in dy.</summary>
    [TestCase(0, 3)]
    [TestCase(0, 11)]
    [TestCase(0, 20)]
    [TestCase(0, 24 * 2 * 99 + 9)]
    [TestCase(1, 16 * 70 + 9)]
    [TestCase(2, 16 * 99 + 9)]
    public void NaN_reaches_what_depends_on_it(int position, int element) =>
        OperatorContract.CheckDefinitionNaN(new AttentionGrad(2), position, element, Inputs(1, 4, 25, 2, 8));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Argument qkv = Argument.Input([1, 2, 2, 12]), y = Argument.Input([1, 2, 2, 4]), other = Argument.Input([1, 2, 3, 4]);
        Application gradient = (g, v) => g.AttentionGrad(v[0]!, v[1]!, v[2]!, 2);
        OperatorContract.CheckShapesDisagree("AttentionGrad", gradient, [1], qkv, other, y);
        OperatorContract.CheckShapesDisagree("AttentionGrad", gradient, [2], qkv, y, other);
        OperatorContract.CheckRefusal((g, v) => g.AttentionGrad(v[0]!, v[1]!, v[2]!, 3), ["AttentionGrad", "3 heads"], qkv, y, y);
    }

    private static string[] GoldenNames => GoldenOp.Names("qkv_attention");

    private static Argument[] Inputs(int n, int h, int w, int heads, int d)
    {
        var y = Argument.Input([n, h, w, heads * d]);
        return [Argument.Input([n, h, w, 3 * heads * d]), y, y];
    }
}
