using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class GroupNormTests
{
    // Batch, height, width, channels, groups.
    private static readonly int[][] Shapes =
    [
        [1, 1, 2, 16, 16],
        [2, 1, 1, 48, 16],
        [1, 5, 3, 1, 1],
        [2, 3, 5, 6, 3],
        [1, 13, 5, 20, 4],
        [2, 7, 5, 33, 3],
        [1, 17, 13, 48, 16],
        [3, 3, 3, 80, 16],
        [1, 1, 33, 35, 7],
        [0, 3, 3, 16, 16],
        // Several blocks of 64 pixels, and several tasks of 8 blocks with a short last one.
        [1, 11, 13, 17, 1],
        [2, 27, 23, 32, 16],
        [1, 33, 33, 19, 19],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void It_normalises_groups(int n, int h, int w, int c, int groups)
    {
        foreach (Activation activation in Enum.GetValues<Activation>())
        {
            foreach (bool film in (bool[])[false, true])
            {
                OperatorContract.Check(
                    "GroupNorm",
                    (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, groups, activation, v[3]),
                    a => ForwardDefinitions.GroupNorm(a[0]!, a[1]!, a[2]!, a[3], groups, 1e-5f, activation),
                    Argument.Input([n, h, w, c], 0.3, 2), Argument.Constant([c], 1, 0.3), Argument.Constant([c]), film
                    ? Argument.Input([n, 2 * c], 0, 0.5) : null);
            }
        }
    }

    [TestCaseSource(nameof(Shapes))]
    public void Its_statistics_half_gives_scale_and_shift(int n, int h, int w, int c, int groups)
    {
        // The second tensor's channels straddle the groups.
        foreach (int c2 in (int[])[0, groups, 3 * groups])
        {
            OperatorContract.Check(
                "GroupNormAffine",
                (g, v) => g.Apply(new GroupNormAffine(groups, 1e-5f), v),
                a => ForwardDefinitions.GroupNormAffine(
                a[4] is { } x2 ? ForwardDefinitions.Concat(a[0]!, x2) : a[0]!, a[1]!, a[2]!, a[3], groups, 1e-5f),
                Argument.Input([n, h, w, c]), Argument.Constant([c + c2], 1, 0.3), Argument.Input([c + c2]),
                c % 2 == 0 ? Argument.Input([n, 2 * (c + c2)]) : null, c2 == 0 ? null : Argument.Input([n, h, w, c2], 1, 3));
        }
    }

    /// <summary>Sums of squares taken in one pass would lose this variance.</summary>
    [TestCase(6, 7, 32, 16)]
    [TestCase(30, 31, 19, 19)]
    [TestCase(1, 1, 64, 16)]
    public void A_large_mean_does_not_ruin_the_variance(int h, int w, int c, int groups) => OperatorContract.Check(
        "GroupNormOffset",
        (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, groups),
        a => ForwardDefinitions.GroupNorm(a[0]!, a[1]!, a[2]!, null, groups, 1e-5f, Activation.None),
        Argument.Input([2, h, w, c], mean: 100), Argument.Constant([c], 1, 0.3), Argument.Constant([c]));

    /// <summary>No variance: 1 / sqrt(epsilon) magnifies the mean's rounding by 316, as a large mean does.</summary>
    [Test]
    public void A_constant_image_becomes_beta() => OperatorContract.Check(
        "GroupNormOffset",
        (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 16),
        a => ForwardDefinitions.GroupNorm(a[0]!, a[1]!, a[2]!, null, 16, 1e-5f, Activation.None),
        Argument.Input([1, 5, 5, 32], 0.75, 0), Argument.Constant([32], 1, 0.3), Argument.Constant([32]));

    [Test]
    public void Epsilon_bites() => OperatorContract.Check(
        "GroupNorm",
        (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 4, epsilon: 0.5f),
        a => ForwardDefinitions.GroupNorm(a[0]!, a[1]!, a[2]!, null, 4, 0.5, Activation.None),
        Argument.Input([1, 5, 5, 16]), Argument.Constant([16]), Argument.Constant([16]));

    [TestCaseSource(nameof(GoldenNames))]
    public void Goldens(string name)
    {
        var golden = new GoldenOp(name);
        Activation activation = name.Contains("silu", StringComparison.Ordinal) ? Activation.Silu : Activation.None;
        OperatorContract.Check(
            name.Contains("offset", StringComparison.Ordinal) ? "GoldenOffset" : "Golden",
            (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 16, activation),
            _ => golden.Image("out"),
            golden.Input("x"), golden.Constant("weight"), golden.Constant("bias"));
    }

    [Test]
    public void NaN_reaches_its_group_and_no_other([Values(0, 3)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 4, Activation.Silu, v[3]),
        a => ForwardDefinitions.GroupNorm(a[0]!, a[1]!, a[2]!, a[3], 4, 1e-5, Activation.Silu),
        position, element: 7,
        Argument.Input([2, 9, 9, 20]), Argument.Constant([20]), Argument.Constant([20]), Argument.Input([2, 40]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application norm = (g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 4, film: v[3]);
        Argument x = Argument.Input([2, 5, 5, 8]), c8 = Argument.Constant([8]);
        OperatorContract.CheckShapesDisagree("GroupNorm", norm, [1], x, Argument.Constant([7]), c8, null);
        OperatorContract.CheckShapesDisagree("GroupNorm", norm, [2], x, c8, Argument.Constant([1]), null);
        OperatorContract.CheckShapesDisagree("GroupNorm", norm, [3], x, c8, c8, Argument.Input([2, 8]));
        OperatorContract.CheckShapesDisagree("GroupNorm", norm, [0], Argument.Input([2, 8]), c8, c8, null);
        OperatorContract.CheckRefusal((g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 3), ["GroupNorm", "8 channels", "3 groups"], x, c8, c8);
        OperatorContract.CheckRefusal((g, v) => g.GroupNorm(v[0]!, v[1]!, v[2]!, 0), ["GroupNorm", "0 groups"], x, c8, c8);
        OperatorContract.CheckShapesDisagree("GroupNormAffine", (g, v) => g.Apply(new GroupNormAffine(4, 1e-5f), v), [4],
            x, Argument.Constant([12]), Argument.Constant([12]), null, Argument.Input([2, 5, 4, 4]));
    }

    private static string[] GoldenNames => GoldenOp.Names("groupnorm");
}
