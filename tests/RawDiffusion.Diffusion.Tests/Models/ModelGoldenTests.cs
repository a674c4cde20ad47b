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
            golden.Check($"unet.comp{k}", Predict(x, t, rows, RowGroups.Mean(golden.Images, 1)));
            if (k == 0)
            {
                golden.Check("unet.t_fractional.comp0",
                    Predict(x, golden.Read("unet.t_fractional.t"), rows, RowGroups.Mean(golden.Images, 1)));
            }
        }
        golden.Check("unet.mean", Predict(x, t, latent, RowGroups.Mean(golden.Images, factors)));
    }

    [Test]
    public void ImagesThroughEncoderAndUNet()
    {
        if (!golden.Has("unet.mean_from_x_start")) return; // kept for A only
        float[] latents = golden.Model.Encode(GoldenModel.Device, golden.Read("x_start"), golden.Images);
        float[] t = [.. golden.Integers("t").Select(v => (float)v)];
        golden.Check("unet.mean_from_x_start", Predict(golden.Read("x_t"), t, latents, RowGroups.Mean(golden.Images, factors)));
    }

    [Test]
    public void TimeEmbedding()
    {
        float[] t = golden.Read("temb.t");
        var g = new Graph();
        Value steps = g.Input("t", [t.Length]);
        g.Output("sincos", g.TimestepEmbedding(steps, golden.Model.Config.Channels));
        g.Output("mlp", golden.Model.Denoiser.UNet.TimeEmbedding(g, steps));
        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("t", t);
        executable.Run();
        foreach (string name in new[] { "sincos", "mlp" })
        {
            float[] found = new float[g.Outputs[name].Shape.Count];
            executable.Read(name, found);
            // The README: float32 t * frequency moves the phase by up to 3e-5 near t = 1000.
            golden.Check("temb." + name, found, 1e-4);
        }
    }

    [Test]
    public void EveryBlock()
    {
        // Component 1 of all images; what was kept in full is image 0.
        float[] rows = [.. golden.Read("latent").Chunk(factors * width).SelectMany(l => l.Skip(width).Take(width))];
        int images = golden.Images;
        var g = new Graph();
        Value x = g.Input("x", [images, size, size, 3]);
        var groups = RowGroups.Mean(images, 1);
        Value time = golden.Model.Denoiser.UNet.TimeEmbedding(g, g.Input("t", [images]));
        golden.Model.Denoiser.UNet.Predict(g, x, time, g.Input("latents", [images, width]), groups);
        golden.Model.Encoder.Encode(g, g.Input("images", [images, size, size, 3]));
        string[] kept = [.. golden.Names.Where(n => n.StartsWith("act", StringComparison.Ordinal))];
        string[] modules = [.. kept.Select(ModuleOf).Distinct()];
        foreach (string module in modules) g.Output(module, BlockOutput(g, module));

        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("x", golden.Read("x_t"));
        executable.Write("t", [.. golden.Integers("t").Select(v => (float)v)]);
        executable.Write("latents", rows);
        executable.Write("images", golden.Read("x_start"));
        executable.Run();
        foreach (string name in kept)
        {
            Shape shape = g.Outputs[ModuleOf(name)].Shape;
            float[] found = new float[shape.Count];
            executable.Read(ModuleOf(name), found);
            if (name.StartsWith("actstat.", StringComparison.Ordinal)) golden.Check(name, Statistics(found, shape));
            else if (name.EndsWith(".every16", StringComparison.Ordinal))
                golden.Check(name, [.. found.Where((_, i) => i % shape[^1] % 16 == 0)]);
            else golden.Check(name, found);
        }
        Assert.That(kept, Has.Length.GreaterThan(10));
    }

    private static string ModuleOf(string name) => name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..]
        .Replace(".every16", "", StringComparison.Ordinal);

    // The last node of a module is its output. The encoder's second ReLU after a BasicBlock is the block's own.
    private static Value BlockOutput(Graph g, string module)
    {
        string name = module switch
        {
            "latent_encoder.3" => "latent_encoder.2",
            "latent_encoder.7" => "latent_encoder.6",
            "latent_encoder.11" => "latent_encoder.10",
            _ => module
        };
        return g.Nodes.Last(n => n.Name == name
            || (!module.StartsWith("latent", StringComparison.Ordinal) && n.Name.StartsWith(name + ".", StringComparison.Ordinal))).Output;
    }

    // [2, N, C]: mean and root mean square of each channel.
    private static float[] Statistics(float[] x, Shape shape)
    {
        int channels = shape[^1], pixels = shape[1] * shape[2];
        float[] result = new float[2 * shape[0] * channels];
        for (int n = 0; n < shape[0]; n++)
        {
            for (int c = 0; c < channels; c++)
            {
                double sum = 0, squares = 0;
                for (int p = 0; p < pixels; p++)
                {
                    double v = x[(n * pixels + p) * channels + c];
                    sum += v;
                    squares += v * v;
                }
                result[n * channels + c] = (float)(sum / pixels);
                result[(shape[0] + n) * channels + c] = (float)Math.Sqrt(squares / pixels);
            }
        }
        return result;
    }

    private float[] Predict(float[] x, float[] t, float[] latentRows, RowGroups groups)
    {
        var g = new Graph();
        Value time = golden.Model.Denoiser.UNet.TimeEmbedding(g, g.Input("t", [t.Length]));
        Value y = golden.Model.Denoiser.UNet.Predict(
            g, g.Input("x", [t.Length, size, size, 3]), g.RepeatRows(time, groups), g.Input("latents", [groups.Rows, width]), groups);
        g.Output("y", y);
        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("x", x);
        executable.Write("t", t);
        executable.Write("latents", latentRows);
        executable.Run();
        float[] result = new float[y.Shape.Count];
        executable.Read("y", result);
        return result;
    }
}
