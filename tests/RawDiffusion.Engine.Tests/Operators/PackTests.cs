using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class PackTests
{
    private static readonly ParameterLayout Layout = new([("a", [1]), ("b", [3, 7]), ("c", [4097]), ("d", [2, 3, 3, 5])]);

    private static readonly Argument[] Arguments = [.. Layout.Parameters.Select(p => Argument.Input(p.Shape))];

    [Test]
    public void Values_lie_side_by_side([Values] bool reuse, [Values] bool constants) => Check(
        reuse, (g, v) => [g.Pack(Layout, v!)], a => a, [.. Arguments.Select(a => constants ? Argument.Constant(a.Shape) : a)]);

    /// <summary>Computed in their places where memory is shared.</summary>
    [Test]
    public void Values_that_are_computed([Values] bool reuse) =>
        Check(reuse, (g, v) => [g.Pack(Layout, [.. v.Select(x => g.Relu(x!))])], a => [.. a.Select(Relu)], Arguments);

    [Test]
    public void Values_that_are_read_elsewhere_too_and_lie_in_two_packs([Values] bool reuse) => Check(
        reuse,
        (g, v) =>
        {
            Value[] values = [.. v.Select(x => g.Relu(x!))];
            Value first = g.Pack(Layout, values), second = g.Pack(Layout, [.. values.Select(x => g.Add(x, x))]), third = g.Pack(
                Layout, values);
            return [first, second, third];
        },
        a =>
        {
            Array64[] once = [.. a.Select(Relu)];
            return [.. once, .. once.Select(x => x.Map(e => 2 * e)), .. once];
        },
        Arguments);

    /// <summary>Views of parts of other results, which lie where those do.</summary>
    [Test]
    public void Views([Values] bool reuse)
    {
        var layout = new ParameterLayout([("gamma", [5]), ("beta", [5]), ("again", [5])]);
        OperatorContract.Check(new CompileOptions { ReuseMemory = reuse }, "Pack",
            (g, v) =>
            {
                Value both = g.Relu(v[0]!), beta = g.View(both, [5], 5);
                return Elements(g, layout, g.Pack(layout, [g.View(both, [5], 0), beta, beta]));
            },
            a => new Array64([1, 15], [.. Relu(a[0]!).Values, .. Relu(a[0]!).Values[5..]]), Argument.Input([2, 5]));
    }

    [Test]
    public void NaN_stays_where_it_is() => OperatorContract.CheckNaN(
        (g, v) => Elements(g, Layout, g.Pack(Layout, v!)), a => Side(a!), 2, 4096, Arguments);

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        OperatorContract.CheckRefusal((g, v) => g.Pack(Layout, v!), ["Pack", "4 parameters", "1 inputs"], Arguments[0]);
        OperatorContract.CheckShapesDisagree("Pack", (g, v) => g.Pack(Layout, v!), [1], Arguments[0], Argument.Input([7, 3]), Arguments[2],
            Arguments[3]);
    }

    private static void Check(bool reuse, Func<Graph, Value?[], Value[]> packs, Func<Array64[], Array64[]> expected,
        params Argument?[] arguments) => OperatorContract.Check(
        new CompileOptions { ReuseMemory = reuse }, "Pack", (g, v) => packs(g, v).Select(all => Elements(g, Layout, all))
            .Aggregate((x, y) => g.Concat(x, y)), a => Side(expected(a!)), arguments);

    private static Array64 Relu(Array64 x) => x.Map(e => Math.Max(0, e));

    private static Array64 Side(Array64[] values)
    {
        double[] all = [.. values.SelectMany(v => v.Values)];
        return new Array64([1, all.Length], all);
    }

    // Without what lies between them.
    private static Value Elements(Graph g, ParameterLayout layout, Value all) =>
        layout.Parameters.Select(p => g.View(all, [1, (int)p.Shape.Count], p.Offset)).Aggregate((a, b) => g.Concat(a, b));
}
