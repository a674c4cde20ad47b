using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Checks;

/// <summary>What <c>check</c> covers.</summary>
public sealed class KernelCasesTests
{
    // What processes exchange has launches, but no kernel of ours.
    private static readonly Type[] WithoutKernel = [typeof(AllReduce), typeof(AllReduceWait), typeof(AllGather)];

    private static IEnumerable<Type> Launched => typeof(OperatorLaunch).Assembly.GetTypes()
        .Where(t => t.IsSubclassOf(typeof(OperatorLaunch)) && !t.IsAbstract).Select(t => t.BaseType!.GetGenericArguments()[0]);

    [Test]
    public void Every_operator_has_a_launch()
    {
        Type[] operators = [.. typeof(Operator).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(Operator)) && !t.IsAbstract)];
        Assert.That(operators.Except(Launched), Is.EqualTo(new[] { typeof(View) }));
    }

    [Test]
    public void Every_operator_that_has_a_launch_has_a_case()
    {
        Type[] covered = [.. KernelCases.All.SelectMany(Operators).Distinct()];
        Assert.That(Launched.Except(covered), Is.EquivalentTo(WithoutKernel));
    }

    private static IEnumerable<Type> Operators(KernelCase kernelCase)
    {
        var g = new Graph();
        kernelCase.Build(g, [.. kernelCase.Inputs.Select(
            (input, i) => input is null ? null : g.Input($"in{i}", input.Shape, input.Step is null ? DType.F32 : DType.I32))]);
        return g.Nodes.Select(n => n.Operator.GetType());
    }
}
