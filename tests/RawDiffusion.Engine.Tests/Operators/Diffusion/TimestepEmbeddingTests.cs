using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;
using RawDiffusion.Formats;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class TimestepEmbeddingTests
{
    [Test]
    public void Cosines_come_first([Values(2, 3, 16, 33, 64)] int dimension) => OperatorContract.Check(
        "TimestepEmbedding", (g, v) => g.TimestepEmbedding(v[0]!, dimension), a => ForwardDefinitions.TimestepEmbedding(a[0]!, dimension),
        Argument.Of(new Array64([6], [0, 1, 12.5, 20, 700, 999.25])));

    [TestCase("A")]
    [TestCase("B")]
    [TestCase("C")]
    public void Goldens(string model)
    {
        using TensorFile file = Testing.Goldens.Open(model);
        Tensor t = file["temb.t"], expected = file["temb.sincos"];
        // The authors' exponential and ours round some frequencies differently: goldens/README.md, schedules.
        OperatorContract.Check("GoldenOffset", (g, v) => g.TimestepEmbedding(v[0]!, expected.Shape[1]),
            _ => new Array64([.. expected.Shape], expected.ToDoubles()),
            Argument.Of(new Array64([t.Count], t.ToDoubles())));
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        OperatorContract.CheckShapesDisagree("TimestepEmbedding", (g, v) => g.TimestepEmbedding(v[0]!, 4), [0], Argument.Input([2, 1]));
        OperatorContract.CheckRefusal((g, v) => g.TimestepEmbedding(v[0]!, 1), ["TimestepEmbedding", "2", "1"], Argument.Input([2]));
    }
}
