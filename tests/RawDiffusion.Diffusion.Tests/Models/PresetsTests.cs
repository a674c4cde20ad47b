using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Models;

public sealed class PresetsTests
{
    [Test]
    public void Presets_are_architectures_that_their_own_weights_tell()
    {
        foreach (string name in Presets.Names)
        {
            UNetConfig config = Presets.Get(name);
            using TensorFile weights = RandomWeights.Of(DecompTensors.Of(config));
            Assert.That(ArchitectureInference.Infer(weights), Is.EqualTo(config), name);
        }
        // The golden configuration C is the published CLEVR model.
        Assert.That(DecompTensors.ParameterCount(Presets.Get("clevr")), Is.EqualTo(31_691_459));
    }
}
