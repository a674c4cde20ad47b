using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Sampling;

namespace RawDiffusion.Diffusion.Tests.Sampling;

public sealed class CompositionTests
{
    private static readonly LabelCondition A = new(1), B = new(2), C = new(3);

    [Test]
    public void A_mean_weighs_its_parts_alike() =>
        Check(Composition.Mean([Composition.Of(A), Composition.Of(B, 1), Composition.Of(A)]),
            (A, 1f / 3, 0), (B, 1f / 3, 1), (A, 1f / 3, 0));

    [Test]
    public void A_sum_has_any_weights() => Check(
        Composition.Sum((Composition.Of(A), 1), (Composition.Of(B), -2), (Composition.Unconditional(), 0.5f)),
        (A, 1, 0), (B, -2, 0), (null, 0.5f, 0));

    [Test]
    public void Guidance_adds_a_null_row_of_each_network()
    {
        var mean = Composition.Mean([Composition.Of(A), Composition.Of(B), Composition.Of(C, 1), Composition.Of(C)]);
        Check(mean.Guided(3), (A, 0.75f, 0), (B, 0.75f, 0), (C, 0.75f, 1), (C, 0.75f, 0), (null, -1.5f, 0), (null, -0.5f, 1));
        Assert.That(mean.Guided(1), Is.SameAs(mean));
    }

    [Test]
    public void Each_condition_of_AND_and_NOT_has_a_scale_of_its_own_and_all_share_a_null_row() =>
        Check(Composition.Unconditional().And(Composition.Of(A), 7.5f).And(Composition.Of(B), 2).Not(Composition.Of(C), 3),
            (A, 7.5f, 0), (B, 2, 0), (C, -3, 0), (null, 1 - 7.5f - 2 + 3, 0));

    [Test]
    public void Null_rows_that_cancel_are_left_out() =>
        Check(Composition.Unconditional().And(Composition.Of(A), 0.25f).And(Composition.Of(B), 0.75f), (A, 0.25f, 0), (B, 0.75f, 0));

    [Test]
    public void Guidance_is_AND_with_what_is_unconditional() =>
        Check(Composition.Unconditional().And(Composition.Of(A), 10), [.. Composition.Of(A).Guided(10).Rows
            .Select(r => (r.Condition as LabelCondition, r.Weight, r.Model))]);

    [Test]
    public void Nothing_is_no_composition() =>
        Assert.That(() => Composition.Mean([]), Throws.ArgumentException.With.Message.Contains("at least one row"));

    private static void Check(Composition composition, params (LabelCondition? Condition, float Weight, int Model)[] rows)
    {
        Assert.That(composition.Rows.Select(r => (r.Condition as LabelCondition, r.Weight, r.Model)), Is.EqualTo(rows));
        Assert.That(composition.Rows.Count(r => r.Condition is NullCondition), Is.EqualTo(rows.Count(r => r.Condition is null)));
    }
}
