using RawDiffusion.Engine.Operators;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>The check itself: what is wrong must be rejected.</summary>
public sealed class OperatorContractTests
{
    private static readonly Application Relu = (g, v) => g.Relu(v[0]!);

    [Test]
    public void A_single_wrong_element_is_rejected() => Rejects("[2, 1]", a =>
    {
        Array64 y = ForwardDefinitions.Activate(Activation.Relu, a[0]!);
        y[2, 1] += 1e-5;
        return y;
    });

    [Test]
    public void A_wrong_shape_is_rejected() =>
        Rejects("[15]", a => new Array64([15], ForwardDefinitions.Activate(Activation.Relu, a[0]!).Values));

    [Test]
    public void NaN_in_a_result_is_rejected()
    {
        var data = new Array64([2], [1, double.NaN]);
        Assert.That(Assert.Throws<ComparisonException>(
            () => OperatorContract.Check("Activate", Relu, _ => new Array64([2], [1, 0]), Argument.Of(data)))!.Message,
            Does.Contain("not finite"));
    }

    [Test]
    public void Different_bits_are_rejected()
    {
        OperatorContract.RequireSameBits("same", [1, float.NaN], [1, float.NaN]);
        Assert.Throws<ComparisonException>(() => OperatorContract.RequireSameBits("zeros", [0f], [-0f]));
    }

    [Test]
    public void A_NaN_that_should_be_there_is_missed_and_one_that_should_not_is_found()
    {
        using (new NUnit.Framework.Internal.TestExecutionContext.IsolatedContext())
        {
            Assert.Throws<AssertionException>(
                () => OperatorContract.CheckNaN(Relu, a => a[0]!.Map(_ => double.NaN), 0, 1, Argument.Input([4])));
            Assert.Throws<AssertionException>(
                () => OperatorContract.CheckNaN(Relu, a => new Array64([4], [double.NaN, 0, 0, 0]), 0, 1, Argument.Input([4])));
        }
    }

    private static void Rejects(string named, Reference reference) => Assert.That(
        Assert.Throws<ComparisonException>(() => OperatorContract.Check("Activate", Relu, reference, Argument.Input([3, 5])))!.Message,
            Does.Contain(named));
}
