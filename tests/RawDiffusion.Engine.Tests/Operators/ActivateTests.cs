using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class ActivateTests
{
    private static readonly Shape[] Shapes = [[], [1], [3], [17, 3], [2, 5, 13, 33], [0, 4], [3, 16 * 1024 + 1]];

    [Test]
    public void It_is_the_function([Values] Activation activation, [ValueSource(nameof(Shapes))] Shape shape) => OperatorContract.Check(
        "Activate", (g, v) => g.Apply(new Activate(activation), v), a => ForwardDefinitions.Activate(activation, a[0]!),
            Argument.Input(shape, 0, 4));

    [Test]
    public void It_is_the_function_far_from_zero([Values] Activation activation)
    {
        double[] x = [0, -0.0, 1e-30, -1e-30, 20, -20, 80, -80, 86, -86, 1000, -1000, 1e6, -1e6, 3e38];
        OperatorContract.Check("Activate", (g, v) => g.Apply(new Activate(activation), v),
            a => ForwardDefinitions.Activate(activation, a[0]!),
            Argument.Of(new Array64([x.Length], x)));
    }

    [Test]
    public void Builder_methods_apply_their_function()
    {
        OperatorContract.Check("Activate", (g, v) => g.Silu(v[0]!), a => ForwardDefinitions.Activate(Activation.Silu, a[0]!),
            Argument.Input([5]));
        OperatorContract.Check("Activate", (g, v) => g.Relu(v[0]!), a => ForwardDefinitions.Activate(Activation.Relu, a[0]!),
            Argument.Input([5]));
    }

    [TestCase("silu_b3_41", Activation.Silu)]
    [TestCase("relu_b3_41", Activation.Relu)]
    public void Goldens(string name, Activation activation)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("Golden", (g, v) => g.Apply(new Activate(activation), v), _ => golden.Plain("out"),
            Argument.Of(golden.Plain("x")));
    }

    /// <summary>In the vectors and in the tail.</summary>
    [Test]
    public void NaN_stays_NaN([Values] Activation activation, [Values(0, 5, 18, 34)] int element) => OperatorContract.CheckNaN(
        (g, v) => g.Apply(new Activate(activation), v), a => ForwardDefinitions.Activate(activation, a[0]!), 0, element,
            Argument.Input([35]));

    [Test]
    public void Its_gradient_is_the_derivative_times_dy([Values] Activation activation, [ValueSource(nameof(Shapes))] Shape shape) =>
        OperatorContract.CheckDefinition("ActivateGrad", new ActivateGrad(activation), Argument.Input(shape, 0, 4), Argument.Input(shape));

    /// <summary>The derivative of ReLU at both zeros is 0, next to them it is not.</summary>
    [Test]
    public void Its_gradient_far_from_zero_and_next_to_it([Values] Activation activation)
    {
        double[] x = [0, -0.0, 1e-30, -1e-30, 1e-45f, -1e-45f, 20, -20, 86, -86, 90, -90, 1000, -1000, 1e6, -1e6, 3e38, -3e38];
        OperatorContract.CheckDefinition("ActivateGrad", new ActivateGrad(activation), Argument.Of(new Array64([x.Length], x)),
            Argument.Input([x.Length]));
    }

    [TestCase("silu_b3_41", Activation.Silu)]
    [TestCase("relu_b3_41", Activation.Relu)]
    public void Golden_gradients(string name, Activation activation)
    {
        var golden = new GoldenOp(name);
        OperatorContract.Check("GoldenElementwise", (g, v) => g.Apply(new ActivateGrad(activation), v), _ => golden.Plain("grad.x"),
            Argument.Of(golden.Plain("x")), Argument.Of(golden.Plain("grad_out")));
    }

    [Test]
    public void NaN_of_dy_stays_NaN_in_its_gradient([Values] Activation activation, [Values(0, 18, 34)] int element) =>
        OperatorContract.CheckDefinitionNaN(new ActivateGrad(activation), 1, element, Argument.Input([35]), Argument.Input([35]));

    [Test]
    public void NaN_of_x_stays_NaN_in_the_gradient_of_silu([Values(0, 18, 34)] int element) =>
        OperatorContract.CheckDefinitionNaN(new ActivateGrad(Activation.Silu), 0, element, Argument.Input([35]), Argument.Input([35]));

    [Test]
    public void A_missing_input_is_refused() =>
        OperatorContract.CheckRefusal(
        (g, v) => g.Apply(new Activate(Activation.Silu), v, "block.act"), ["block.act", "Activate", "x is missing"], (Argument?)null);
}
