using FsCheck;
using FsCheck.Fluent;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Schedules;

public sealed class TimestepSpacingTests
{
    [Test]
    public void Every_golden_spacing_is_matched()
    {
        using TensorFile goldens = Goldens.Open("schedules");
        string[] names = [.. goldens.Names.Where(name => name.StartsWith("space_timesteps/", StringComparison.Ordinal))];
        Assert.That(names, Has.Length.EqualTo(8));
        foreach (string name in names)
        {
            // "1000_[50]" was asked for with a list, the others with a string.
            string[] parts = name["space_timesteps/".Length..].Split('_');
            int timesteps = int.Parse(parts[0]);
            int[] found = parts[1].StartsWith('[')
                ? TimestepSpacing.Sections(timesteps, [.. parts[1].Trim('[', ']').Split(',').Select(int.Parse)])
                : TimestepSpacing.Parse(timesteps, parts[1].Trim('"'));
            Assert.That(found, Is.EqualTo(goldens[name].ToInt64s()), name);
        }
    }

    [TestCase(300, "250 and 500")]
    [TestCase(999, "500 and 1000")]
    [TestCase(3, "2 and 4")]
    public void Steps_that_do_not_divide_are_refused_with_the_nearest_that_do(int steps, string nearest) =>
        Assert.That(
            () => TimestepSpacing.Every(1000, steps),
            Throws.ArgumentException.With.Message.EqualTo(
                $"{steps} steps do not divide the 1000 of training; the nearest that do are {nearest}"));

    [TestCase(0)]
    [TestCase(-50)]
    [TestCase(1001)]
    public void Steps_outside_the_training_steps_are_refused(int steps) =>
        Assert.That(
            () => TimestepSpacing.Every(1000, steps),
            Throws.ArgumentException.With.Message.EqualTo($"expected a number of steps from 1 to the 1000 of training, found {steps}"));

    [Test]
    public void A_chain_has_as_many_steps_as_asked_for_at_an_even_stride_from_0() =>
        Prop.ForAll(
            Gen.Choose(1, 60).ToArbitrary(),
            Gen.Choose(1, 40).ToArbitrary(),
            (steps, stride) =>
            {
                int[] chain = TimestepSpacing.Every(steps * stride, steps);
                return chain.Length == steps && chain.Select((t, i) => t == i * stride).All(equal => equal);
            }).QuickCheckThrowOnFailure();

    [Test]
    public void All_steps_are_the_whole_chain() =>
        Assert.That(TimestepSpacing.Every(1000, 1000), Is.EqualTo(Enumerable.Range(0, 1000)));

    [TestCase("ddim300", "no integer stride")]
    [TestCase("ddim", "neither section counts")]
    [TestCase("10,x", "neither section counts")]
    [TestCase("", "neither section counts")]
    [TestCase("600,600", "section of 500 timesteps into 600")]
    [TestCase("-1", "into -1")]
    public void A_spacing_that_cannot_be_is_refused(string spacing, string because) =>
        Assert.That(
            () => TimestepSpacing.Parse(1000, spacing),
            Throws.ArgumentException.With.Message.Contains(because));
}
