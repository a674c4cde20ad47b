using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class GroupNormGradTests
{
    // Batch, height, width, channels, groups: one channel in a group, several blocks and tasks of positions, ragged channels.
    private static readonly int[][] Shapes = [[0, 2, 2, 4, 2], [1, 1, 2, 4, 2], [3, 5, 7, 33, 11], [2, 3, 3, 64, 16], [1, 40, 33, 16, 16],
        [2, 3, 5, 330, 5]];

    [Test]
    public void The_sums_over_positions_are_the_definitions([ValueSource(nameof(Shapes))] int[] s, [Values] Activation activation) =>
        OperatorContract.CheckDefinition(
        "GroupNormGradSums", new GroupNormGradSums(s[4], activation), Inputs(s));

    [Test]
    public void The_gradient_by_x_is_the_definitions([ValueSource(nameof(Shapes))] int[] s, [Values] Activation activation) =>
        OperatorContract.CheckDefinition(
        "GroupNormGradInput", new GroupNormGradInput(activation), [.. Inputs(s), Argument.Input([s[0], 4, s[3]])]);

    [Test]
    public void The_gradients_by_gamma_and_beta_are_the_definitions([ValueSource(nameof(Shapes))] int[] s, [Values] bool film) =>
        OperatorContract.CheckDefinition(
        "GroupNormGradAffine", new GroupNormGradAffine(), Argument.Input([s[0], 4, s[3]]), film ? Argument.Input([s[0], 2 * s[3]]) : null);

    [TestCaseSource(nameof(Shapes))]
    public void The_gradient_by_film_is_the_definitions(int n, int h, int w, int c, int groups) => OperatorContract.CheckDefinition(
        "GroupNormGradFilm", new GroupNormGradFilm(), Argument.Input([n, 4, c]), Argument.Input([c]), Argument.Input([c]));

    /// <summary>The graph of all of them: against finite differences of the norm's own definition.</summary>
    [Test]
    public void Together_they_are_the_derivative_of_the_norm(
        [Values] bool film, [Values(Activation.None, Activation.Silu)] Activation activation)
    {
        const int Groups = 2;
        Argument?[] arguments =
            [Argument.Input([2, 1, 3, 4]), Argument.Input([4], 1, 0.3), Argument.Input([4]), film ? Argument.Input([2, 8], 0, 0.5)
            : null, Argument.Input([2, 1, 3, 4])];
        for (int k = 0; k < (film ? 4 : 3); k++)
        {
            int wanted = k;
            OperatorContract.Check(
                "FiniteDifference",
                (g, v) =>
                {
                    GroupNormGradients gradients = g.GroupNormGrad(v[0]!, v[1]!, v[2]!, v[4]!, Groups, activation, v[3]);
                    Value affine = g.Reshape(gradients.Affine, [1, 8]);
                    return wanted switch
                    {
                        0 => gradients.Input,
                        3 => gradients.Film!,
                        _ => g.Reshape(g.Slice(affine, (wanted - 1) * 4, 4), [4])
                    };
                },
                a => Differences(a, wanted, b => ForwardDefinitions.GroupNorm(b[0]!, b[1]!, b[2]!, b[3], Groups, 1e-5f, activation)),
                arguments);
        }
    }

    [TestCase("groupnorm16_c48_13x5", Activation.None, "Golden")]
    [TestCase("groupnorm16_silu_c16_7x5", Activation.Silu, "Golden")]
    [TestCase("groupnorm16_silu_c48_7x5", Activation.Silu, "Golden")]
    [TestCase("groupnorm16_silu_c80_7x5", Activation.Silu, "Golden")]
    [TestCase("groupnorm16_offset_c32_6x7", Activation.None, "GoldenOffset")]
    public void Goldens(string name, Activation activation, string tolerance)
    {
        var golden = new GoldenOp(name);
        GroupNormGradients Gradients(Graph g, Value?[] v) => g.GroupNormGrad(v[0]!, v[1]!, v[2]!, v[3]!, 16, activation);
        Argument?[] arguments = [golden.Input("x"), golden.Constant("weight"), golden.Constant("bias"), golden.Input("grad_out")];
        OperatorContract.Check(tolerance, (g, v) => Gradients(g, v).Input, _ => golden.Image("grad.x"), arguments);
        Array64 gamma = golden.Plain("grad.weight"), beta = golden.Plain("grad.bias");
        OperatorContract.Check(tolerance, (g, v) => Gradients(g, v).Affine,
            _ => new Array64([2, gamma.Shape[0]], [.. gamma.Values, .. beta.Values]), arguments);
    }

    [Test]
    public void NaN_reaches_its_channel_and_its_groups_means([Values(0, 1, 2, 3)] int position) =>
        OperatorContract.CheckDefinitionNaN(new GroupNormGradSums(4, Activation.Silu), position, 7, Inputs([2, 9, 9, 20, 4]));

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 2, 3, 4)] int position) => OperatorContract.CheckDefinitionNaN(
        new GroupNormGradInput(Activation.Silu), position, 7 + (position == 4 ? 2 * 20 : 0),
            [.. Inputs([2, 9, 9, 20, 4]), Argument.Input([2, 4, 20])]);

    // x, affine, normal, dy.
    private static Argument[] Inputs(int[] s)
    {
        Argument x = Argument.Input([s[0], s[1], s[2], s[3]]), affine = Argument.Input([s[0], 2, s[3]]);
        return [x, affine, affine, x];
    }

    // Derivatives of sum(f dy), dy the last argument, by one argument.
    private static Array64 Differences(Array64?[] a, int wanted, Func<Array64?[], Array64> f)
    {
        double Loss(int i, double change)
        {
            Array64?[] moved = [.. a];
            moved[wanted] = new Array64(a[wanted]!.Shape, [.. a[wanted]!.Values]);
            moved[wanted]![i] += change;
            return f(moved).Values.Zip(a[^1]!.Values, (y, d) => y * d).Sum();
        }
        return new Array64(a[wanted]!.Shape,
            [.. Enumerable.Range(0, a[wanted]!.Values.Length).Select(i => (Loss(i, 1e-4) - Loss(i, -1e-4)) / 2e-4)]);
    }
}
