using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ViewTests
{
    private static Array64 As(Array64 x, Shape shape) => new(shape, x.Values);

    [Test]
    public void Elements_keep_their_order([Values(ValueKind.Input, ValueKind.Constant)] ValueKind kind, [Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "View",
        (g, v) => g.Reshape(v[0]!, [4, 3, 5]), a => As(a[0]!, [4, 3, 5]), kind == ValueKind.Input ? Argument.Input([2, 30]) : Argument.Constant([2, 30]));

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
            Array64 x = As(a[0]!.Map(References.Silu), [3, 8]);
            return References.Add(x.Map(References.Silu), References.Activate(Activation.Relu, x.Map(References.Silu).Map(References.Silu)));
        },
        Argument.Input([24], 3, 0.1));

    [Test]
    public void A_reshaped_constant_is_read_where_it_lies([Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "Add",
        (g, v) => g.Add(v[0]!, g.Reshape(g.Reshape(v[1]!, [6, 2]), [3, 4])), a => References.Add(a[0]!, As(a[1]!, [3, 4])),
        Argument.Input([3, 4]), Argument.Constant([12]));

    [Test]
    public void A_reshaped_constant_can_be_a_weight([Values] bool fold) => OperatorContract.Check(
        new CompileOptions { FoldConstants = fold }, "Linear",
        (g, v) => g.Linear(v[0]!, g.Reshape(v[1]!, [3, 4]), null), a => References.Linear(a[0]!, As(a[1]!, [3, 4]), null),
        Argument.Input([2, 4]), Argument.Constant([3, 1, 1, 4]));

    [Test]
    public void Another_number_of_elements_is_refused() => OperatorContract.CheckRefusal(
        (g, v) => g.Reshape(v[0]!, [4, 2], "flatten"), ["flatten", "View", "in0 [3, 2]", "6", "[4, 2]", "8"], Argument.Input([3, 2]));
}
