using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Sampling;

public sealed class GuardTests
{
    [Test]
    public void ANanInAWeightIsTracedToItsModuleAndReportedWithTheWeights()
    {
        const string Broken = "middle_block.0.in_layers.2.bias";
        TensorFile file = ClosedFormWeights.StateDict("tiny_cf");
        using var model = new DecompModel(new TensorFile(
            file.Names.Select(n => KeyValuePair.Create(n, n == Broken ? WithNan(file[n]) : file[n]))), new(NumHeadChannels: 16));
        Composition[] compositions = [Composition.Of(new LatentCondition(new float[16]))];
        var ddim = new Ddim(new GaussianDiffusion(BetaSchedule.SquaredCosine(10)));
        using var sampler = new Sampler(
            GoldenModel.Device, [model.Denoiser], compositions, ddim, new SamplerOptions { Compile = new CompileOptions { Guard = true } });

        NonFiniteException? e = Assert.Throws<NonFiniteException>(() => sampler.Run(new float[32 * 32 * 3]));

        Assert.That(e!.Message, Does.StartWith("middle_block.0.in_layers.2 (Conv2d) produced NaN at element 5 "));
        Assert.That(model.Weights.NonFinite[Broken], Is.EqualTo(Broken + "[5] is NaN"));
    }

    private static Tensor WithNan(Tensor tensor)
    {
        float[] values = tensor.ToSingles();
        values[5] = float.NaN;
        return Tensor.FromSingles(tensor.Shape, values);
    }
}
