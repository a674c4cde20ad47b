using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AttentionTests
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
        // More than one block of 256 keys, and blocks of 24 queries with a short last one.
        [1, 16, 16, 1, 16],
        [1, 1, 257, 2, 8],
        [1, 12, 25, 1, 48],
        [1, 20, 30, 2, 20],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void It_is_the_softmax_of_the_scores_times_the_values(int n, int h, int w, int heads, int d) => OperatorContract.Check(
        "Attention",
        (g, v) => g.Attention(v[0]!, heads),
        a => ForwardDefinitions.Attention(a[0]!, heads),
        Argument.Input([n, h, w, 3 * heads * d]));

    /// <summary>Scores of hundreds: the exponentials underflow for all keys but a few, and would overflow unshifted.</summary>
    [Test]
    public void Large_scores_neither_overflow_nor_lose_the_winner() => OperatorContract.Check(
        "Attention",
        (g, v) => g.Attention(v[0]!, 2),
        a => ForwardDefinitions.Attention(a[0]!, 2),
        // Multiples of 1/4 have exact products, so that the comparison is of the softmax and not of the scores' rounding.
        Quantized([1, 20, 15, 3 * 2 * 16], step: 0.25, deviation: 10));

    /// <summary>The running maximum must rescale what earlier blocks of keys left.</summary>
    [Test]
    public void A_late_winner_displaces_earlier_blocks()
    {
        const int Positions = 600, Channels = 8;
        var qkv = new Array64([1, 1, Positions, 3 * Channels]);
        for (int t = 0; t < Positions; t++)
        {
            for (int c = 0; c < Channels; c++)
            {
                qkv[0, 0, t, c] = 1;
                qkv[0, 0, t, Channels + c] = 0.02 * t;
                qkv[0, 0, t, 2 * Channels + c] = 1 + 0.5 * Math.Sin(t + c);
            }
        }
        OperatorContract.Check("Attention", (g, v) => g.Attention(v[0]!, 1), a => ForwardDefinitions.Attention(a[0]!, 1), Argument.Of(qkv));
    }

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        int heads = name[name.IndexOf("_h", StringComparison.Ordinal) + 2] - '0';
        OperatorContract.Check("Golden", (g, v) => g.Attention(v[0]!, heads), _ => golden.Image("out"), golden.Input("x"));
    }

    [Test]
    public void Golden_attention_block()
    {
        var golden = new GoldenOp(GoldenOp.Names("attention_block").Single());
        OperatorContract.Check(
            "Golden",
            (g, v) =>
            {
                Value qkv = g.Conv2d(g.GroupNorm(v[0]!, v[1]!, v[2]!, 16), v[3]!, v[4]);
                return g.Add(v[0]!, g.Conv2d(g.Attention(qkv, 2), v[5]!, v[6]));
            },
            _ => golden.Image("out"),
            golden.Input("x"), golden.Constant("norm_w"), golden.Constant("norm_b"),
            Argument.Of(golden.ConvWeight("qkv_w"), ValueKind.Constant), golden.Constant("qkv_b"),
            Argument.Of(golden.ConvWeight("proj_w"), ValueKind.Constant), golden.Constant("proj_b"));
    }

    /// <summary>A NaN in a query spoils its row, in a key its head, in a value one channel of its head.</summary>
    [TestCase(3)]
    [TestCase(11)]
    [TestCase(20)]
    [TestCase(24 * 2 * 299 + 9)]
    public void NaN_reaches_what_depends_on_it(int element) => OperatorContract.CheckNaN(
        (g, v) => g.Attention(v[0]!, 2), a => ForwardDefinitions.Attention(a[0]!, 2), 0, element, Argument.Input([1, 12, 25, 2 * 24]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        OperatorContract.CheckShapesDisagree("Attention", (g, v) => g.Attention(v[0]!, 4), [0], Argument.Input([1, 5, 5, 18]));
        OperatorContract.CheckShapesDisagree("Attention", (g, v) => g.Attention(v[0]!, 0), [0], Argument.Input([1, 5, 5, 18]));
        OperatorContract.CheckShapesDisagree("Attention", (g, v) => g.Attention(v[0]!, 1), [0], Argument.Input([1, 25, 18]));
    }

    private static string[] GoldenNames => GoldenOp.Names("qkv_attention");

    private static Argument Quantized(Shape shape, double step, double deviation)
    {
        Array64 data = Argument.Input(shape, 0, deviation).Draw(new Random(3));
        return Argument.Of(data.Map(v => Math.Round(v / step) * step));
    }
}
