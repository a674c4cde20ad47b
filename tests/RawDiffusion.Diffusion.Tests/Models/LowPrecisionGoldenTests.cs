using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Tests.Sampling;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>
/// Checkpoints stored in 16 bits are widened and computed in float32: the error against the float32 goldens is that of
/// the rounded weights. Maximum and root mean square are those of the authors' code in PyTorch 2.6 on the same files.
/// </summary>
public sealed class LowPrecisionGoldenTests
{
    [TestCase("A_f16.pt", 0.003154, 0.000728)]
    [TestCase("A_bf16.pt", 0.03554, 0.006836)]
    public void TheErrorIsThatOfTheRoundedWeights(string file, double maximum, double rms)
    {
        using var golden = new GoldenModel("A");
        using var rounded = new DecompModel(Checkpoint.Open(Goldens.PathOf(file)), new(NumHeadChannels: 16));
        var of = new GoldenTrajectories(golden);
        float[] expected = golden.Read("unet.comp0"), t = [.. golden.Integers("t").Select(v => (float)v)];
        // Rounded weights from end to end: the latents are the rounded encoder's.
        float[] latents = rounded.Encode(GoldenModel.Device, golden.Read("x_start"), golden.Images);
        int stride = latents.Length / golden.Images;
        double largest = 0, squares = 0;
        for (int image = 0; image < golden.Images; image++)
        {
            float[] found = of.Predict(rounded, golden.Read("x_t").AsSpan(image * of.ImageCount, of.ImageCount), t[image],
                [Composition.Of(new LatentCondition(latents.AsMemory(image * stride, rounded.Config.LatentDim)))]);
            for (int i = 0; i < found.Length; i++)
            {
                double error = Math.Abs(found[i] - expected[image * found.Length + i]);
                largest = Math.Max(largest, error);
                squares += error * error;
            }
        }
        Assert.That(largest, Is.EqualTo(maximum).Within(2).Percent);
        Assert.That(Math.Sqrt(squares / expected.Length), Is.EqualTo(rms).Within(2).Percent);
    }
}
