using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class Pool2dTests
{
    [TestCase(2, 2, 0)]
    [TestCase(3, 2, 0)]
    [TestCase(3, 1, 1)]
    [TestCase(2, 3, 1)]
    [TestCase(5, 2, 2)]
    [TestCase(1, 1, 0)]
    public void It_pools_windows(int kernel, int stride, int padding)
    {
        foreach (PoolKind kind in Enum.GetValues<PoolKind>())
        {
            var pool = new Pool2d(kind, kernel, stride, padding);
            foreach ((int n, int h, int w, int c) in (ReadOnlySpan<(int, int, int, int)>)[(1, 5, 5, 1), (2, 6, 9, 3), (1, 13, 17, 20),
                (2, 5, 8, 33), (1, 7, 5, 64), (0, 6, 6, 16)])
            {
                OperatorContract.Check("Pool2d", (g, v) => g.Apply(pool, v), a => ForwardDefinitions.Pool(pool, a[0]!),
                Argument.Input([n, h, w, c], mean: -3));
            }
        }
    }

    [Test]
    public void A_window_may_be_larger_than_the_image([Values] PoolKind kind)
    {
        var pool = new Pool2d(kind, 3, 1, 1);
        OperatorContract.Check("Pool2d", (g, v) => g.Apply(pool, v), a => ForwardDefinitions.Pool(pool, a[0]!),
            Argument.Input([1, 1, 2, 7], mean: -3));
    }

    [Test]
    public void NaN_reaches_the_windows_that_hold_it([Values] PoolKind kind, [Values(0, 67, 179)] int element)
    {
        var pool = new Pool2d(kind, 3, 2, 1);
        OperatorContract.CheckNaN(
            (g, v) => g.Apply(pool, v), a => ForwardDefinitions.Pool(pool, a[0]!), 0, element, Argument.Input([1, 3, 3, 20]));
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application pool = (g, v) => g.Pool2d(v[0]!, PoolKind.Max, 3, 2);
        OperatorContract.CheckShapesDisagree("Pool2d", pool, [0], Argument.Input([1, 2, 4, 3]));
        OperatorContract.CheckShapesDisagree("Pool2d", pool, [0], Argument.Input([4, 4, 3]));
        OperatorContract.CheckRefusal(
            (g, v) => g.Pool2d(v[0]!, PoolKind.Max, 3, 1, 2), ["Pool2d", "padding", "not 2"], Argument.Input([1, 9, 9, 3]));
        OperatorContract.CheckRefusal((g, v) => g.Pool2d(v[0]!, PoolKind.Max, 3, 0), ["Pool2d", "stride"], Argument.Input([1, 9, 9, 3]));
    }
}
