using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests;

/// <summary>What an enumeration has no member for is refused by the definition and by each device.</summary>
public sealed class UndefinedValueTests
{
    private const Activation NoActivation = (Activation)99;
    private const PoolKind NoPool = (PoolKind)99;
    private const RunningStatistic NoStatistic = (RunningStatistic)99;

    private static readonly RowGroups Pair = RowGroups.Mean(1, 2);
    private static readonly Shape Image = [2, 4, 4, 8], Affine = [2, 2, 8];

    private static IEnumerable<TestCaseData> Operators()
    {
        yield return Case("Activate", new Activate(NoActivation), Image);
        yield return Case("ActivateGrad", new ActivateGrad(NoActivation), Image, Image);
        yield return Case("AvgPool2d", new AvgPool2d(NoActivation), Image, Affine);
        yield return Case("SumRows", new SumRows(Pair, NoActivation), Image, Affine);
        yield return Case("GroupNorm", new GroupNorm(2, 1e-5f, NoActivation), Image, [8], [8], null);
        yield return Case("GroupNormGradSums", new GroupNormGradSums(2, NoActivation), Image, Affine, Affine, Image);
        yield return Case("GroupNormGradInput", new GroupNormGradInput(NoActivation), Image, Affine, Affine, Image, [2, 4, 8]);
        yield return Case("Linear", new Linear { OnStore = NoActivation }, [2, 8], [8, 8], null);
        foreach (int kernel in (int[])[1, 3])
        {
            Shape weight = [8, kernel, kernel, 8];
            yield return Case($"Conv2d load {kernel}", new Conv2d(1, kernel / 2) { OnLoad = NoActivation }, Image, weight);
            yield return Case($"Conv2d store {kernel}", new Conv2d(1, kernel / 2) { OnStore = NoActivation }, Image, weight);
        }
        yield return Case("DenoiseAverageStep", new DenoiseAverageStep(Pair, NoActivation, Clip: true),
            Image, [1, 4, 4, 3], [5, 5], [1], null, Affine, [3, 3, 3, 8], null);
        yield return Case("Pool2d", new Pool2d(NoPool, 2, 2), Image);
        yield return Case("BatchNormRunning", new BatchNormRunning(NoStatistic, 0.1f, 4), [8], [2, 8]);
    }

    [TestCaseSource(nameof(Operators))]
    public void An_operators_is_refused(Operator op, Shape?[] shapes)
    {
        Assert.That(() => Definition.Evaluate(op, [.. shapes.Select(s => s is { } shape ? new Array64(shape) : null)]),
            Throws.TypeOf<GraphException>().With.Message.Contains(" 99 "));
        foreach (TestDevice device in TestDevices.OneOfEach)
        {
            var g = new Graph();
            g.Output("y", g.Apply(op, [.. shapes.Select((s, i) =>
                s is { } shape ? g.Input($"in{i}", shape, shape == [1] ? DType.I32 : DType.F32) : null)]));
            // The CUDA kernels know the activations, so that the compiler refuses it; without one, no such kernel is found.
            Assert.That(() => device.Device.Compile(g), Throws.TypeOf<GraphException>().With.Message.Contains(" 99 ")
                .Or.TypeOf<KernelCompileException>().With.Message.Match("activation|=99 "), device.Name);
        }
    }

    [Test]
    public void An_element_type_is_refused()
    {
        foreach (TestDevice device in TestDevices.OneOfEach)
        {
            var g = new Graph();
            g.Output("y", g.Silu(g.Input("x", [4], (DType)99)));
            Assert.That(() => device.Device.Compile(g), Throws.TypeOf<GraphException>().With.Message.Contains("DType 99 "), device.Name);
        }
    }

    private static TestCaseData Case(string name, Operator op, params Shape?[] shapes) =>
        new TestCaseData(op, shapes).SetArgDisplayNames(name);
}
