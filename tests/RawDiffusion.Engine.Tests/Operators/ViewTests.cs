using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ViewTests
{
    private static Array64 As(Array64 x, Shape shape) => new(shape, x.Values);

    [Test]
    public void Elements_keep_their_order([Values(ValueKind.Input, ValueKind.Constant)] ValueKind kind, [Values] bool fold) =>
        OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "View",
        (g, v) => g.Reshape(v[0]!, [4, 3, 5]), a => As(a[0]!, [4, 3, 5]), kind == ValueKind.Input ? Argument.Input([2, 30])
        : Argument.Constant([2, 30]));

    /// <summary>A view of a result, whose readers come after the result's own.</summary>
    [Test]
    public void A_view_outlives_what_it_is_a_view_of([Values] bool reuse) => OperatorContract.Check(
        new CompileOptions { ReuseMemory = reuse }, "Activate",
        (g, v) =>
        {
            Value x = g.Silu(v[0]!);
            Value view = g.Reshape(x, [3, 8]);
            Value other = g.Relu(g.Silu(g.Silu(x)));
            return g.Add(g.Silu(view), g.Reshape(other, [3, 8]));
        },
        a =>
        {
            Array64 x = As(a[0]!.Map(ForwardDefinitions.Silu), [3, 8]);
            return ForwardDefinitions.Add(x.Map(ForwardDefinitions.Silu),
                ForwardDefinitions.Activate(Activation.Relu, x.Map(ForwardDefinitions.Silu).Map(ForwardDefinitions.Silu)));
        },
        Argument.Input([24], 3, 0.1));

    [Test]
    public void A_reshaped_constant_is_read_where_it_lies([Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "Add",
        (g, v) => g.Add(v[0]!, g.Reshape(g.Reshape(v[1]!, [6, 2]), [3, 4])), a => ForwardDefinitions.Add(a[0]!, As(a[1]!, [3, 4])),
        Argument.Input([3, 4]), Argument.Constant([12]));

    [Test]
    public void A_reshaped_constant_can_be_a_weight([Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "Linear",
        (g, v) => g.Linear(v[0]!, g.Reshape(v[1]!, [3, 4]), null), a => ForwardDefinitions.Linear(a[0]!, As(a[1]!, [3, 4]), null),
        Argument.Input([2, 4]), Argument.Constant([3, 1, 1, 4]));

    /// <summary>A run of elements from anywhere, which is no boundary of vectors; its reader's and its own.</summary>
    [Test]
    public void A_part_begins_anywhere(
        [Values(0, 1, 3, 8, 64)] int offset, [Values] bool reuse, [Values(ValueKind.Input, ValueKind.Constant)] ValueKind kind)
    {
        Array64 Part(Array64 x) => new([3, 8], x.Values[offset..(offset + 24)]);
        Argument all = kind == ValueKind.Input ? Argument.Input([88]) : Argument.Constant([88]);
        var options = new CompileOptions { ReuseMemory = reuse, FoldConstants = false };
        OperatorContract.Check(options, "View", (g, v) => g.View(v[0]!, [3, 8], offset), a => Part(a[0]!), all);
        OperatorContract.Check(options, "Activate", (g, v) => g.Silu(g.Reshape(g.View(v[0]!, [24], offset), [3, 8])),
            a => Part(a[0]!).Map(ForwardDefinitions.Silu), all);
        OperatorContract.Check(options, "Add", (g, v) => g.Add(g.View(g.Relu(v[0]!), [3, 8], offset), g.View(v[1]!, [3, 8], 1)),
            a => ForwardDefinitions.Add(
            Part(ForwardDefinitions.Activate(Activation.Relu, a[0]!)), new Array64([3, 8], a[1]!.Values[1..])), all,
            Argument.Input([25]));
    }

    [Test]
    public void Parts_of_one_constant_are_weights_of_their_own([Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "Linear",
        (g, v) => g.Concat(g.Linear(v[0]!, g.View(v[1]!, [3, 4], 0), g.View(v[1]!, [3], 12)),
        g.Linear(v[0]!, g.View(v[1]!, [2, 4], 15), null)),
        a =>
        {
            Array64 w = a[1]!, first = ForwardDefinitions.Linear(
                a[0]!, new Array64([3, 4], w.Values[..12]), new Array64([3], w.Values[12..15]));
            Array64 second = ForwardDefinitions.Linear(a[0]!, new Array64([2, 4], w.Values[15..]), null);
            return new Array64([2, 5], [.. Enumerable.Range(0, 2)
                .SelectMany(r => (double[])[.. first.Values[(3 * r)..(3 * r + 3)], .. second.Values[(2 * r)..(2 * r + 2)]])]);
        },
        Argument.Input([2, 4]), Argument.Constant([23]));

    [Test]
    public void A_part_beyond_the_end_is_refused([Values(-1, 3)] int offset) => OperatorContract.CheckRefusal(
        (g, v) => g.View(v[0]!, [2, 2], offset, "part"), ["part", "View", "in0 [6]", "4", $"from element {offset}"], Argument.Input([6]));

    [Test]
    public void Another_number_of_elements_is_refused() => OperatorContract.CheckRefusal(
        (g, v) => g.Reshape(v[0]!, [4, 2], "flatten"), ["flatten", "View", "in0 [3, 2]", "6", "[4, 2]", "8"], Argument.Input([3, 2]));
}
