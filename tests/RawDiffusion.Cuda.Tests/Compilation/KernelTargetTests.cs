using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

public sealed class KernelTargetTests
{
    [TestCase("sm_80", true, 80)]
    [TestCase("compute_120", false, 120)]
    public void Targets_are_read_and_written_as_the_compiler_takes_them(string text, bool machineCode, int capability)
    {
        Assert.That(KernelTarget.Parse(text), Is.EqualTo(new KernelTarget(machineCode, capability)));
        Assert.That(KernelTarget.Parse(text).ToString(), Is.EqualTo(text));
    }

    [Test]
    public void What_is_no_target_is_refused([Values("", "80", "sm_", "sm_8x", "sm_-80", "compute80", "sm_99999")] string text) =>
        Assert.That(() => KernelTarget.Parse(text), Throws.ArgumentException.With.Message.Contains($"'{text}'"));

    [TestCase("sm_80", "sm_80")]
    [TestCase("compute_86", "compute_86")]
    [TestCase("sm_89", "compute_86")]
    [TestCase("sm_120", "compute_90")]
    public void A_compiler_makes_what_it_can_for_a_target(string target, string expected) =>
        Assert.That(KernelTarget.Parse(target).For([80, 86, 90]).ToString(), Is.EqualTo(expected));

    [Test]
    public void A_target_older_than_the_compiler_is_refused() =>
        Assert.That(() => KernelTarget.Parse("sm_80").For([90, 100]), Throws.TypeOf<KernelCompileException>().With.Message.Contains(
        "sm_80").And.Message.Contains("90, 100"));

    [TestCase("sm_86", "sm_80", true)]
    [TestCase("sm_80", "sm_86", false)]
    [TestCase("sm_90", "sm_89", false)]
    [TestCase("sm_120", "compute_90", true)]
    [TestCase("sm_80", "compute_86", false)]
    [TestCase("compute_86", "compute_80", false)]
    [TestCase("compute_80", "compute_80", true)]
    public void Code_runs_on_later_devices_within_the_rules(string device, string code, bool runs) =>
        Assert.That(KernelTarget.Parse(device).CanRun(KernelTarget.Parse(code)), Is.EqualTo(runs));
}
