using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;
using RawDiffusion.Engine.Tests.Contract;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AdamTests
{
    // One element, ragged, and more than one piece, the last of them ragged.
    private static readonly ParameterLayout Layout = new([("a", [1]), ("b", [7]), ("c", [4099])]);

    private static readonly int Count = Layout.Shape[0];

    [Test, Pairwise]
    public void A_step_follows_the_formula([Values] bool decoupled, [Values(0, 0.1)] double decay, [Values(null, 0.5, 1e6)] double? maxNorm,
        [Values(0, 1000)] int step, [Values] bool inPlace)
    {
        var op = new Adam(Layout, new AdamOptions { WeightDecay = decay, Decoupled = decoupled, MaxNorm = maxNorm });
        OperatorContract.Check("Adam",
            (g, v) => Parameters(g, g.Apply(op, inPlace ? [g.Apply(new Activate(Activation.None), [v[0]]), .. v.Skip(1)] : v), Adam.Rows),
            a => Parameters(Definition.Evaluate(op, a), Adam.Rows), Arguments(step));
    }

    [Test]
    public void Its_constants_all_count()
    {
        AdamOptions[] all = [new(), new() { Beta1 = 0.8 }, new() { Beta2 = 0.99 }, new() { Epsilon = 1e-2 }, new() { WeightDecay = 0.1 },
            new() { MaxNorm = 1 }];
        foreach (AdamOptions options in all)
        {
            var op = new Adam(Layout, options);
            OperatorContract.Check("Adam", (g, v) => Parameters(g, g.Apply(op, v), Adam.Rows),
                a => Parameters(Definition.Evaluate(op, a), Adam.Rows), Arguments(3));
        }
        Array64?[] inputs = [.. Arguments(3).Select(a => a.Draw(new Random(1)))];
        double[] sums = [.. all.Select(o => Parameters(Definition.Evaluate(new Adam(Layout, o), inputs), Adam.Rows).Values.Sum())];
        Assert.That(sums.Distinct().Count(), Is.EqualTo(all.Length));
    }

    /// <summary>The state is updated where it lies, step after step.</summary>
    [Test]
    public void A_state_moves_on_in_its_place()
    {
        var op = new Adam(Layout, new AdamOptions { WeightDecay = 0.1, Decoupled = true, MaxNorm = 2 });
        var random = new Random(5);
        Array64[] drawn = [.. Arguments(0).Select(a => a.Draw(random))];
        var g = new Graph();
        Value state = g.State("state", [Adam.Rows, Count]), gradient = g.Input("gradient", Layout.Shape), rates = g.Input(
            "rates", [2]), step = g.State("step", [1], DType.I32);
        Value norm = g.GradientNorm(Layout, gradient);
        g.Assign(state, g.Adam(Layout, op.Options, state, gradient, norm, rates, step));
        g.Assign(step, g.NextStep(step));
        g.Output("norm", norm);
        Assert.That(MemoryPlan.Of(g).Copies.Select(c => c.State), Does.Not.Contain(state));
        Array64 expected = drawn[0], found = new(expected.Shape);
        Array64 length = Definition.Evaluate(new GradientNorm(Layout), [drawn[1]]);
        for (int i = 0; i < 3; i++) expected = Definition.Evaluate(op, [expected, drawn[1], length, drawn[3], new Array64([1], [i])]);
        foreach (TestDevice device in TestDevices.All)
        {
            using IExecutable executable = device.Device.Compile(g);
            executable.Write("state", drawn[0].ToSingles());
            executable.Write("gradient", drawn[1].ToSingles());
            executable.Write("rates", drawn[3].ToSingles());
            executable.Write("step", (int[])[0]);
            for (int i = 0; i < 3; i++) executable.Run();
            float[] values = new float[Adam.Rows * Count];
            executable.Read("state", values);
            OperatorContract.Widen(values).CopyTo(found.Values, 0);
            double[] right = Parameters(expected, Adam.Rows).Values;
            Comparer.RequireClose($"state on {device}", [right.Length], right, [right.Length], Parameters(found, Adam.Rows).Values,
                Tolerance.RelativeToMax(1e-6));
        }
    }

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1, 2)] int position)
    {
        var op = new Adam(Layout, new AdamOptions { MaxNorm = 1 });
        // The norm's reaches all parameters, which are clipped together.
        int element = position == 2 ? 0 : (int)Layout.Parameters[1].Offset + 3;
        OperatorContract.CheckNaN((g, v) => Parameters(g, g.Apply(op, v), Adam.Rows),
            a => Parameters(Definition.Evaluate(op, a), Adam.Rows), position, element, Arguments(2));
    }

    [Test]
    public void A_norm_that_is_not_clipped_is_not_looked_at()
    {
        var op = new Adam(Layout, new AdamOptions());
        Argument[] arguments = Arguments(2);
        arguments[2] = Argument.Of(new Array64([1], [double.NaN]));
        OperatorContract.Check("Adam", (g, v) => Parameters(g, g.Apply(op, v), Adam.Rows),
            a => Parameters(Definition.Evaluate(op, a), Adam.Rows), arguments);
    }

    /// <summary>Gradients are divided by the loss's scale; steps that were skipped do not count.</summary>
    [Test]
    public void A_scaled_loss_gives_the_same_step([Values(null, 0.5, 1e6)] double? maxNorm, [Values] bool decoupled)
    {
        var op = new Adam(Layout, new AdamOptions { MaxNorm = maxNorm, WeightDecay = 0.1, Decoupled = decoupled });
        Argument[] plain = Arguments(3), scaled = [.. Arguments(5), Scale(1024, skipped: 2)];
        scaled[1] = scaled[1] with { Data = [.. scaled[1].Data!.Select(x => 1024 * x)] };
        Array64 right = Parameters(Definition.Evaluate(op, [.. plain.Select(a => a.Draw(new Random(1)))]), Adam.Rows);
        OperatorContract.Check("Adam", (g, v) => Parameters(g, g.Apply(op, v), Adam.Rows), _ => right, scaled);
        OperatorContract.Check("Adam", (g, v) => Parameters(g, g.Apply(op, v), Adam.Rows),
            a => Parameters(Definition.Evaluate(op, a), Adam.Rows), scaled);
    }

    [Test]
    public void A_norm_that_is_not_finite_skips_the_step_of_a_scaled_loss(
        [Values(double.NaN, double.PositiveInfinity)] double norm, [Values(null, 0.5)] double? maxNorm, [Values] bool inPlace)
    {
        var op = new Adam(Layout, new AdamOptions { MaxNorm = maxNorm, WeightDecay = 0.1 });
        Argument[] arguments = [.. Arguments(3), Scale(1024, skipped: 0)];
        arguments[2] = Argument.Of(new Array64([1], [norm]));
        arguments[1] = Argument.Of(new Array64(Layout.Shape).Map(_ => norm));
        OperatorContract.Check("Pack",
            (g, v) => Parameters(g, g.Apply(op, inPlace ? [g.Apply(new Activate(Activation.None), [v[0]]), .. v.Skip(1)] : v), Adam.Rows),
            a => Parameters(a[0]!, Adam.Rows), arguments);
    }

    [Test]
    public void The_norm_is_that_of_the_loss_that_is_not_scaled()
    {
        Argument gradient = Gradient(Layout), scale = Scale(4096, skipped: 1);
        OperatorContract.Check("GradientNorm", (g, v) => g.GradientNorm(Layout, v[0]!, v[1]),
            a => Definition.Evaluate(new GradientNorm(Layout), a), gradient, scale);
        OperatorContract.Check("GradientNorm", (g, v) => g.GradientNorm(Layout, v[0]!, v[1]),
            a => Definition.Evaluate(new GradientNorm(Layout), [a[0]]).Map(x => x / 4096), gradient, scale);
    }

    [Test]
    public void Norms_are_those_of_the_parameters_alone([Values(1, 4096, 9003)] int last)
    {
        var layout = new ParameterLayout([("a", [1]), ("b", [3, 5]), ("c", [last])]);
        OperatorContract.Check("GradientNorm", (g, v) => g.GradientNorm(layout, v[0]!),
            a => Definition.Evaluate(new GradientNorm(layout), a), Gradient(layout));
    }

    [Test]
    public void NaN_reaches_the_norm() =>
        OperatorContract.CheckDefinitionNaN(new GradientNorm(Layout), 0, (int)Layout.Parameters[2].Offset + 4098, Gradient(Layout));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Argument state = Argument.Input([Adam.Rows, Count]), gradient = Argument.Input([Count]), one = Argument.Input(
            [1]), two = Argument.Input([2]), step = Argument.Step(0);
        Value Apply(Graph g, Value?[] v) => g.Adam(Layout, new AdamOptions(), v[0]!, v[1]!, v[2]!, v[3]!, v[4]!);
        OperatorContract.CheckShapesDisagree("Adam", Apply, [0], Argument.Input([3, Count]), gradient, one, two, step);
        OperatorContract.CheckShapesDisagree("Adam", Apply, [1], state, Argument.Input([Count - 1]), one, two, step);
        OperatorContract.CheckShapesDisagree("Adam", Apply, [2], state, gradient, two, two, step);
        OperatorContract.CheckShapesDisagree("Adam", Apply, [3], state, gradient, one, one, step);
        OperatorContract.CheckShapesDisagree("Adam", (g, v) => g.Adam(Layout, new AdamOptions(), v[0]!, v[1]!, v[2]!, v[3]!, v[4]!, v[5]),
            [5], state, gradient, one, two, step, two);
        OperatorContract.CheckShapesDisagree("GradientNorm", (g, v) => g.GradientNorm(Layout, v[0]!, v[1]), [1], gradient, one);
        OperatorContract.CheckShapesDisagree("GradientNorm", (g, v) => g.GradientNorm(Layout, v[0]!), [0], Argument.Input([Count + 64]));
    }

    // Numbers of about the same size in all rows, so that one tolerance is the same for all; squares are positive.
    private static Argument[] Arguments(int step)
    {
        var random = new Random(11);
        Array64 state = new Array64([Adam.Rows, Count]).Map(_ => (float)(2 * random.NextDouble() - 1));
        for (int i = 0; i < Count; i++) state[Adam.Second, i] = Math.Abs(state[Adam.Second, i]);
        return [Argument.Of(state), Gradient(Layout), Argument.Of(new Array64([1], [40])), Argument.Of(new Array64([2], [0.01f, 0.25])),
            Argument.Step(step)];
    }

    private static Argument Scale(double scale, double skipped) => Argument.Of(new Array64([3], [scale, 5, skipped]));

    // Not a number between parameters: whoever reads there shows it.
    private static Argument Gradient(ParameterLayout layout)
    {
        var random = new Random(3);
        var gradient = new Array64(layout.Shape, [.. Enumerable.Repeat(double.NaN, layout.Shape[0])]);
        foreach (Parameter parameter in layout.Parameters)
            for (int i = 0; i < parameter.Shape.Count; i++) gradient[(int)parameter.Offset + i] = (float)(2 * random.NextDouble() - 1);
        return Argument.Of(gradient);
    }

    // The parameters' elements in all rows, without what lies between them.
    private static Value Parameters(Graph g, Value all, int rows)
    {
        Value[] parts = [.. Enumerable.Range(0, rows)
            .SelectMany(r => Layout.Parameters.Select(p => g.View(all, [1, (int)p.Shape.Count], r * Count + p.Offset)))];
        return parts.Aggregate((a, b) => g.Concat(a, b));
    }

    private static Array64 Parameters(Array64 all, int rows)
    {
        double[] values = [.. Enumerable.Range(0, rows)
            .SelectMany(r => Layout.Parameters.SelectMany(p => all.Values.Skip(r * Count + (int)p.Offset).Take((int)p.Shape.Count)))];
        return new Array64([1, values.Length], values);
    }
}
