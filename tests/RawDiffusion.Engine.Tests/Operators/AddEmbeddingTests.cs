using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class AddEmbeddingTests
{
    [TestCase(1, 1, 1, 1)]
    [TestCase(2, 5, 3, 20)]
    [TestCase(3, 13, 17, 33)]
    [TestCase(0, 3, 3, 16)]
    public void Every_position_gets_its_images_embedding(int n, int h, int w, int c) => OperatorContract.Check(
        "AddEmbedding", (g, v) => g.AddEmbedding(v[0]!, v[1]!), a => ForwardDefinitions.AddEmbedding(a[0]!, a[1]!),
        Argument.Input([n, h, w, c]), Argument.Input([n, c]));

    [Test]
    public void NaN_reaches_what_depends_on_it([Values(0, 1)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.AddEmbedding(v[0]!, v[1]!), a =>
            ForwardDefinitions.AddEmbedding(a[0]!, a[1]!), position, 21, Argument.Input([2, 3, 3, 20]),
            Argument.Input([2, 20]));

    /// <summary>Several blocks of positions, several tasks of several blocks; no positions; no images.</summary>
    [TestCase(1, 1, 1, 1)]
    [TestCase(2, 5, 3, 20)]
    [TestCase(3, 13, 17, 33)]
    [TestCase(2, 32, 33, 16)]
    [TestCase(0, 3, 3, 16)]
    [TestCase(2, 0, 3, 5)]
    public void Its_gradient_is_the_sum_over_positions(int n, int h, int w, int c) =>
        OperatorContract.CheckDefinition("AddEmbeddingGradEmbedding", new AddEmbeddingGradEmbedding(), Argument.Input([n, h, w, c]));

    [TestCase(2, 5)]
    [TestCase(1, 40 * 41 * 5 - 1)]
    public void NaN_reaches_its_channels_gradient(int n, int element) =>
        OperatorContract.CheckDefinitionNaN(new AddEmbeddingGradEmbedding(), 0, element, Argument.Input([n, 40, 41, 5]));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application add = (g, v) => g.AddEmbedding(v[0]!, v[1]!);
        OperatorContract.CheckShapesDisagree("AddEmbedding", add, [1], Argument.Input([2, 3, 3, 20]), Argument.Input([1, 20]));
        OperatorContract.CheckShapesDisagree("AddEmbedding", add, [1], Argument.Input([2, 3, 3, 20]), Argument.Input([2, 3, 3, 20]));
        OperatorContract.CheckShapesDisagree("AddEmbedding", add, [0], Argument.Input([2, 20]), Argument.Input([2, 20]));
    }
}
