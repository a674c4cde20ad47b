using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class MseLossTests
{
    private static readonly KernelTolerance Stored = new(3e-6, 3e-6, 4e-3, 5e-4);

    // The last is more than one vector for each thread of the largest grid.
    private static readonly Shape[] Shapes = [[1, 1, 1, 1], [3, 5, 7, 3], [2, 16, 16, 8], [3, 129, 100, 32]];

    [Test]
    public void It_is_the_weighted_mean_of_squares([ValueSource(nameof(Shapes))] Shape shape, [Values] bool weights) =>
        KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.MseLoss(v[0], v[1], weights ? v[2] : null),
        a => [a[0].Select((p, i) => Weight(shape, a, i, weights) * (p - a[1][i]) * (p - a[1][i])).Average()],
        shape, shape, [shape[0]]);

    // The loss is scaled, as training in 16 bits must do it: a mean of a million elements has gradients that float16 cannot hold.
    [Test]
    public void Its_gradient_is_twice_the_weighted_difference([ValueSource(nameof(Shapes))] Shape shape, [Values] bool weights) =>
        KernelContract.Check(
        Stored, (g, v) => g.Apply(new MseLossGradPrediction(), [v[0], v[1], weights ? v[2] : null, g.Constant("dloss", [1], [1024])]),
        a => [.. a[0].Select((p, i) => 1024 * Weight(shape, a, i, weights) * 2 * (p - a[1][i]) / a[0].Length)],
        shape, shape, [shape[0]]);

    private static double Weight(Shape shape, double[][] a, int i, bool weights) => weights ? a[2][(int)(i / (shape.Count / shape[0]))] : 1;
}
