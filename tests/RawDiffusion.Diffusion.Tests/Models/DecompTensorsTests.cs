using RawDiffusion.Diffusion.Models;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Models;

public sealed class DecompTensorsTests
{
    [TestCase("A", 756_903)]
    [TestCase("B", 337_787)]
    [TestCase("tiny_cf", 985_363)]
    [TestCase("C", 31_691_459)]
    public void The_tensors_are_those_of_the_references_state_dict_in_its_order(string name, long parameters)
    {
        UNetConfig config = GoldenConfigs.Named(name);
        config.Validate();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                DecompTensors.Of(config).Select(
                    tensor => $"{tensor.Name} [{string.Join(", ", tensor.Shape)}] {tensor.Kind != TensorKind.Parameter}"),
                Is.EqualTo(Goldens.Manifest(name).Select(
                    entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}] {entry.IsBuffer}")));
            Assert.That(DecompTensors.ParameterCount(config), Is.EqualTo(parameters));
        }
    }
}
