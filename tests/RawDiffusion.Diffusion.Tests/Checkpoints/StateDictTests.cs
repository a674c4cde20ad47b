using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Checkpoints;

public sealed class StateDictTests
{
    [TestCase("A", 756_903)]
    [TestCase("B", 337_787)]
    [TestCase("tiny_cf", 985_363)]
    [TestCase("C", 31_691_459)]
    public void The_generated_state_dict_is_the_references(string name, long parameters)
    {
        UNetConfig config = GoldenConfigs.Named(name);
        config.Validate();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                StateDict.Of(config).Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}] {entry.IsBuffer}"),
                Is.EqualTo(Goldens.Manifest(name).Select(
                    entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}] {entry.IsBuffer}")));
            Assert.That(config.ParameterCount, Is.EqualTo(parameters));
        }
    }
}
