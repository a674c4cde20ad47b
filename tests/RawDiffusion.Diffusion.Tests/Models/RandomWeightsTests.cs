using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Models;

public sealed class RandomWeightsTests
{
    [Test]
    public void Random_weights_are_as_PyTorch_initialises_layers()
    {
        IReadOnlyList<NetworkTensor> tensors = DecompTensors.Of(Presets.Get("tetris"));
        using TensorFile weights = RandomWeights.Of(tensors), other = RandomWeights.Of(tensors, seed: 1);
        float[] conv = weights["input_blocks.1.0.in_layers.2.weight"]
            .ToSingles(), bias = weights["input_blocks.1.0.in_layers.2.bias"].ToSingles();
        double bound = 1 / Math.Sqrt(64 * 9);
        Assert.That(conv.Max(MathF.Abs), Is.LessThanOrEqualTo(bound).And.GreaterThan(0.99 * bound));
        Assert.That(conv.Average(), Is.Zero.Within(0.02 * bound));
        Assert.That(bias.Max(MathF.Abs), Is.LessThanOrEqualTo(bound).And.GreaterThan(0.8 * bound));
        Assert.That(weights["out.0.weight"].ToSingles(), Is.All.EqualTo(1));
        Assert.That(weights["out.0.bias"].ToSingles(), Is.All.EqualTo(0));
        Assert.That(weights["latent_encoder.2.bn1.running_mean"].ToSingles(), Is.All.EqualTo(0));
        Assert.That(weights["latent_encoder.2.bn1.running_var"].ToSingles(), Is.All.EqualTo(1));
        Assert.That(other["input_blocks.1.0.in_layers.2.weight"].ToSingles(), Is.Not.EqualTo(conv));
    }
}
