using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>The trajectories that the goldens hold, made of the golden latents, and ways to run them.</summary>
internal sealed class GoldenTrajectories(GoldenModel golden)
{
    public int Factors { get; } = golden.Model.Config.NumComponents;

    public int ImageCount { get; } = golden.Model.Config.ImageSize * golden.Model.Config.ImageSize * 3;

    /// <summary>Each image's latent [K * E / 2].</summary>
    public float[][] Latents { get; } = [.. golden.Read("latent").Chunk(golden.Model.Config.NumComponents * golden.Model.Config.LatentDim)];

    public Composition Factor(int image, int k) => FactorOf(Latents[image], k);

    public Composition Whole(int image) => Sliced([.. Enumerable.Repeat(1L - image, Factors)]);

    /// <summary>Factor k of image 0 where pick[k] is 1, else of image 1.</summary>
    public Composition Sliced(long[] pick) =>
        Composition.Mean([.. pick.Select((p, k) => FactorOf(Latents[p == 1 ? 0 : 1], k))]);

    /// <summary>The mean of both images' compositions.</summary>
    public Composition Added() =>
        Composition.Mean([.. Enumerable.Range(0, 2 * Factors).Select(i => Factor(i / Factors, i % Factors))]);

    /// <summary>Factor k by the first model where pick[k] is 1, else by the second.</summary>
    public Composition Crossed(long[] pick, float[] first, float[] second) =>
        Composition.Mean([.. pick.Select((p, k) => p == 1 ? FactorOf(first, k) : FactorOf(second, k, model: 1))]);

    /// <summary>Runs steps and compares those that were kept: <c>name.step1</c> and so on.</summary>
    public void Follow(Sampler sampler, ReadOnlySpan<float> x, string name, int steps)
    {
        sampler.Start(x);
        for (int step = 1; step <= steps; step++)
        {
            sampler.Step();
            if (golden.Has($"{name}.step{step}")) golden.Check($"{name}.step{step}", sampler.Current());
        }
    }

    /// <summary>The models' prediction at the golden x_t of an image and timestep t, by the parts a sampler is made of.</summary>
    public float[] Predict(int image, long t, IReadOnlyList<Composition> compositions, DecompModel? second = null) =>
        Predict(golden.Read("x_t").AsSpan(image * ImageCount, ImageCount), t, compositions, second);

    /// <summary>The models' prediction at any x.</summary>
    public float[] Predict(ReadOnlySpan<float> x, float t, IReadOnlyList<Composition> compositions, DecompModel? second = null) =>
        Predict(second is null ? [golden.Model] : [golden.Model, second], x, t, compositions);

    /// <summary>Another model's prediction.</summary>
    public float[] Predict(DecompModel model, ReadOnlySpan<float> x, float t, IReadOnlyList<Composition> compositions) =>
        Predict([model], x, t, compositions);

    private float[] Predict(DecompModel[] models, ReadOnlySpan<float> x, float t, IReadOnlyList<Composition> compositions)
    {
        var g = new Graph();
        int size = golden.Model.Config.ImageSize;
        var prediction = new ComposedPrediction([.. models.Select(m => m.Denoiser)], compositions);
        Value y = prediction.Append(g, g.Input("x", [1, size, size, 3]), Timesteps.OfImages(g.Constant("t", [1], [t])));
        g.Output("y", y);
        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("x", x);
        prediction.Write(executable, compositions);
        executable.Run();
        float[] result = new float[ImageCount];
        executable.Read("y", result);
        return result;
    }

    private Composition FactorOf(float[] latent, int k, int model = 0) => Composition.Of(
        new LatentCondition(latent.AsMemory(k * golden.Model.Config.LatentDim, golden.Model.Config.LatentDim)), model);
}
