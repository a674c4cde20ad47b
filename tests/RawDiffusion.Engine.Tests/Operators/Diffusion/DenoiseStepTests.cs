using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

public sealed class DenoiseStepTests
{
    private static readonly Shape Image = [2, 5, 13, 3];

    [Test]
    public void It_reads_the_steps_coefficients([Values] bool clip, [Values] bool noise, [Values(-3, 0, 1, 3, 4, 1000)] int step) =>
        OperatorContract.Check(
        "DenoiseStep",
        (g, v) => g.DenoiseStep(v[0]!, v[1]!, v[2]!, v[3]!, v[4], clip),
        a => Definition.Evaluate(new DenoiseStep(clip), a),
        Argument.Input(Image), Argument.Input(Image), Argument.Constant([4, 5]), Argument.Step(step), noise ? Argument.Input(Image) : null);

    [Test]
    public void It_works_in_chunks_of_any_size() => OperatorContract.Check(
        "DenoiseStep",
        (g, v) => g.DenoiseStep(v[0]!, v[1]!, v[2]!, v[3]!, v[4]),
        a => Definition.Evaluate(new DenoiseStep(Clip: true), a),
        Argument.Input([2, 97, 101, 3]), Argument.Input([2, 97, 101, 3]), Argument.Input([4, 5]), Argument.Step(2),
        Argument.Input([2, 97, 101, 3]));

    [Test]
    public void NaN_is_not_clipped_away([Values(0, 1, 4)] int position) => OperatorContract.CheckNaN(
        (g, v) => g.DenoiseStep(v[0]!, v[1]!, v[2]!, v[3]!, v[4]), a => Definition.Evaluate(new DenoiseStep(Clip: true), a), position, 11,
        Argument.Input(Image), Argument.Input(Image), Argument.Constant([4, 5]), Argument.Step(1), Argument.Input(Image));

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        Application step = (g, v) => g.DenoiseStep(v[0]!, v[1]!, v[2]!, v[3]!, v[4]);
        Argument x = Argument.Input(Image), table = Argument.Constant([4, 5]), s = Argument.Step(0), other = Argument.Input([2, 5, 12, 3]);
        OperatorContract.CheckShapesDisagree("DenoiseStep", step, [1], x, other, table, s, null);
        OperatorContract.CheckShapesDisagree("DenoiseStep", step, [2], x, x, Argument.Constant([4, 4]), s, null);
        OperatorContract.CheckShapesDisagree("DenoiseStep", step, [2], x, x, Argument.Constant([0, 5]), s, null);
        OperatorContract.CheckShapesDisagree("DenoiseStep", step, [3], x, x, table, Argument.Input([1]), null);
        OperatorContract.CheckShapesDisagree("DenoiseStep", step, [4], x, x, table, s, other);
    }
}
