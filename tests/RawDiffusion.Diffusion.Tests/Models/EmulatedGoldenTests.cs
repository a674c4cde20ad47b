using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Tests.Sampling;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>The CUDA kernels, executed by the emulator, against the authors' networks: encoder, U-Net and sampling steps.</summary>
[TestFixture("A", Precision.Fp32, false)]
[TestFixture("A", Precision.Tf32, false)]
[TestFixture("A", Precision.Bf16, false)]
[TestFixture("A", Precision.Fp16, false)]
[TestFixture("B", Precision.Fp32, false)]
[TestFixture("B", Precision.Bf16, false)]
// As a GPU with NVRTC runs it: extents are constants, and tiles are those of the device.
[TestFixture("B", Precision.Fp32, true)]
[TestFixture("B", Precision.Bf16, true)]
public sealed class EmulatedGoldenTests(string config, Precision precision, bool specialize)
{
    private GoldenModel golden = null!;
    private CudaDevice device = null!;

    [OneTimeSetUp]
    public void Open()
    {
        var compiler = new KernelCompiler();
        if (specialize && !compiler.CanCompile)
            Assert.Ignore("no NVRTC on this machine: kernels cannot be compiled for the shapes at hand");
        golden = new GoldenModel(config);
        device = new CudaDevice(new EmulatedDriver(), compiler, precision, specialize);
    }

    [OneTimeTearDown]
    public void Close()
    {
        device?.Dispose();
        golden?.Dispose();
    }

    [Test]
    public void Latents() => Check("latent", golden.Model.Encode(device, golden.Read("x_start"), golden.Images));

    [Test]
    public void Factor_and_mean()
    {
        int factors = golden.Model.Config.NumComponents, width = golden.Model.Config.LatentDim, size = golden.Model.Config.ImageSize;
        float[] latent = golden.Read("latent");
        float[] first = [.. latent.Chunk(factors * width).SelectMany(l => l.Take(width))];
        foreach ((string name, float[] rows, int count) in (
            (string, float[], int)[])[("unet.comp0", first, 1), ("unet.mean", latent, factors)])
        {
            var g = new Graph();
            var groups = RowGroups.Mean(golden.Images, count);
            Value y = golden.Model.Denoiser.Predict(g, g.Input("x", [golden.Images, size, size, 3]),
                Timesteps.OfImages(g.Input("t", [golden.Images])),
                new Dictionary<string, Value> { ["latents"] = g.Input("latents", [groups.Rows, width]) }, groups);
            g.Output("y", y);
            using IExecutable executable = device.Compile(g);
            executable.Write("x", golden.Read("x_t"));
            executable.Write("t", [.. golden.Integers("t").Select(v => (float)v)]);
            executable.Write("latents", rows);
            executable.Run();
            float[] found = new float[y.Shape.Count];
            executable.Read("y", found);
            Check(name, found);
        }
    }

    [Test]
    public void Sampling_steps()
    {
        var of = new GoldenTrajectories(golden);
        int images = golden.Shape("ddim.mean.step1")[0];
        var ddim = new Ddim(new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, 50)));
        using var sampler = new Sampler(
            device, [golden.Model.Denoiser], [.. Enumerable.Range(0, images).Select(of.Whole)], ddim);
        float[] noise = golden.Read("ddim.noise"); // [K + 1, B, S, S, C]
        sampler.Start(noise.AsSpan(of.Factors * golden.Images * of.ImageCount, images * of.ImageCount));
        for (int step = 1; step <= 3; step++)
        {
            sampler.Step();
            if (golden.Has($"ddim.mean.step{step}")) Check($"ddim.mean.step{step}", sampler.Current());
        }
    }

    private void Check(string name, float[] found)
    {
        if (precision == Precision.Fp32)
        {
            golden.Check(name, found);
            return;
        }
        float[] expected = golden.Read(name);
        double largest = expected.Max(MathF.Abs);
        double worst = 0, squares = 0, reference = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double d = (double)found[i] - expected[i];
            worst = Math.Max(worst, Math.Abs(d));
            squares += d * d;
            reference += (double)expected[i] * expected[i];
        }
        TestContext.Out.WriteLine($"{config} {precision} {name}: max {worst / largest:g3} rms {Math.Sqrt(squares / reference):g3}");
        Assert.That(Math.Sqrt(squares / reference), Is.LessThan(2e-2), $"{config} {name} in {precision}");
    }
}
