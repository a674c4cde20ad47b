using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class PairwiseCosineTests
{
    // Rows, vectors, width: one of each, odd ones, more vectors than a block has warps, more width than it has threads.
    private static readonly (int Rows, int Vectors, int Width)[] Sizes = [(1, 1, 1), (1, 1, 5), (3, 4, 33), (2, 11, 64), (5, 2, 300)];

    // A vector's cosine with itself is 1, and so are those of single numbers: their gradients are rounding errors.
    private static (int Rows, int Vectors, int Width)[] Others => [.. Sizes.Where(s => s.Vectors > 1 && s.Width > 1)];

    [Test]
    public void It_is_the_mean_cosine([ValueSource(nameof(Sizes))] (int Rows, int Vectors, int Width) size) =>
        OperatorContract.CheckDefinition(
        "PairwiseCosine", new PairwiseCosine(size.Vectors), Argument.Input([size.Rows, size.Vectors * size.Width], 0.5));

    [Test]
    public void Its_gradient_is_the_definitions([ValueSource(nameof(Others))] (int Rows, int Vectors, int Width) size) =>
        OperatorContract.CheckDefinition(
        "PairwiseCosineGrad", new PairwiseCosineGrad(size.Vectors), Argument.Input([size.Rows, size.Vectors * size.Width]),
            Argument.Input([1], 1000));

    /// <summary>Vectors of no length have no direction: their cosine with themselves is 0, and what is divided by is 1e-12.</summary>
    [Test]
    public void Vectors_that_are_zero_or_nearly_so()
    {
        var vectors = Argument.Of(new Array64([2, 6], [0, 0, 1, 2, 3, -1, 1, 1, 3e-13f, 4e-13f, 0, 0]));
        OperatorContract.CheckDefinition("PairwiseCosine", new PairwiseCosine(3), vectors);
        OperatorContract.CheckDefinition("PairwiseCosineGrad", new PairwiseCosineGrad(3), vectors, Argument.Input([1], 2, 0));
    }

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1)] int position)
    {
        OperatorContract.CheckDefinitionNaN(new PairwiseCosine(2), 0, 3, Argument.Input([2, 6]));
        OperatorContract.CheckDefinitionNaN(new PairwiseCosineGrad(2), position, 0, Argument.Input([2, 6]), Argument.Input([1]));
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        OperatorContract.CheckShapesDisagree("PairwiseCosine", (g, v) => g.PairwiseCosine(v[0]!, 3), [0], Argument.Input([2, 8]));
        OperatorContract.CheckShapesDisagree("PairwiseCosine", (g, v) => g.PairwiseCosine(v[0]!, 2), [0], Argument.Input([0, 8]));
        OperatorContract.CheckShapesDisagree("PairwiseCosineGrad", (g, v) => g.Apply(new PairwiseCosineGrad(2), v), [1],
            Argument.Input([2, 8]), Argument.Input([2]));
    }
}
