using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class ChannelSumTests
{
    private static readonly Shape[] Shapes = [[0, 3], [7], [1, 1, 1, 1], [37, 1], [5, 33], [3, 5, 7, 12], [2, 9, 9, 64], [1, 4, 4, 300],
        [2, 33, 40, 8]];

    [TestCaseSource(nameof(Shapes))]
    public void It_adds_all_positions_of_a_channel(Shape shape) => KernelContract.Check(
        KernelTolerance.Exact, (g, v) => g.ChannelSum(v[0]),
        a =>
        {
            double[] y = new double[shape[^1]];
            for (int i = 0; i < a[0].Length; i++) y[i % y.Length] += a[0][i];
            return y;
        },
        shape);
}
