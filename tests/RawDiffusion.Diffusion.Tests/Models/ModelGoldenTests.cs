using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Tests.Models;

[TestFixture("A")]
[TestFixture("B")]
[TestFixture("tiny_cf")]
[TestFixture("C")]
public sealed class ModelGoldenTests(string config)
{
    private GoldenModel golden = null!;
    private int factors;
    private int size;
    private int width;

    [OneTimeSetUp]
    public void Open()
    {
        golden = new GoldenModel(config);
        (factors, size, width) = (golden.Model.Config.NumComponents, golden.Model.Config.ImageSize, golden.Model.Config.LatentDim);
    }

    [OneTimeTearDown]
    public void Close() => golden.Dispose();

    [Test]
    public void Latents() => golden.Check("latent", golden.Model.Encode(GoldenModel.Device, golden.Read("x_start"), golden.Images));

    [Test]
    public void EachFactorAndTheirMean()
    {
        float[] latent = golden.Read("latent"), x = golden.Read("x_t");
        float[] t = [.. golden.Integers("t").Select(v => (float)v)];
        for (int k = 0; k < factors; k++)
        {
            int first = k * width;
            float[] rows = [.. latent.Chunk(factors * width).SelectMany(l => l.Skip(first).Take(width))];
            golden.Check($"unet.comp{k}", Predict(x, t, rows, FactorGroups.Mean(golden.Images, 1)));
            if (k == 0) golden.Check("unet.t_fractional.comp0", Predict(x, golden.Read("unet.t_fractional.t"), rows, FactorGroups.Mean(golden.Images, 1)));
        }
        golden.Check("unet.mean", Predict(x, t, latent, FactorGroups.Mean(golden.Images, factors)));
    }

    private float[] Predict(float[] x, float[] t, float[] latentRows, FactorGroups groups)
    {
        var g = new Graph();
        Value time = golden.Model.UNet.TimeEmbedding(g, g.Input("t", [t.Length]));
        Value y = golden.Model.UNet.Predict(g, g.Input("x", [t.Length, size, size, 3]), g.RepeatFactors(time, groups), g.Input("latents", [groups.Rows, width]), groups);
        g.Output("y", y);
        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("x", x);
        executable.Write("t", t);
        executable.Write("latents", latentRows);
        executable.Run();
        var result = new float[y.Shape.Count];
        executable.Read("y", result);
        return result;
    }
}
