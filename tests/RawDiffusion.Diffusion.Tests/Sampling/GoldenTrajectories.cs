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

    public Trajectory Factor(int image, int k) => Trajectory.Factor(FactorOf(Latents[image], k));

    public Trajectory Composition(int image) => Sliced([.. Enumerable.Repeat(1L - image, Factors)]);

    /// <summary>Factor k of image 0 where pick[k] is 1, else of image 1.</summary>
    public Trajectory Sliced(long[] pick) => Trajectory.Composition([.. pick.Select((p, k) => (FactorOf(Latents[p == 1 ? 0 : 1], k), 0))]);

    /// <summary>The mean of both images' compositions.</summary>
    public Trajectory Added() =>
        Trajectory.Composition([.. Enumerable.Range(0, 2 * Factors).Select(i => (FactorOf(Latents[i / Factors], i % Factors), 0))]);

    /// <summary>Factor k by the first model where pick[k] is 1, else by the second.</summary>
    public Trajectory Crossed(long[] pick, float[] first, float[] second) =>
        Trajectory.Composition([.. pick.Select((p, k) => p == 1 ? (FactorOf(first, k), 0) : (FactorOf(second, k), 1))]);

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
    public float[] Predict(int image, long t, IReadOnlyList<Trajectory> trajectories, DecompModel? second = null) =>
        Predict(golden.Read("x_t").AsSpan(image * ImageCount, ImageCount), t, trajectories, second);

    /// <summary>The models' prediction at any x.</summary>
    public float[] Predict(ReadOnlySpan<float> x, float t, IReadOnlyList<Trajectory> trajectories, DecompModel? second = null) =>
        Predict(second is null ? [golden.Model] : [golden.Model, second], x, t, trajectories);

    /// <summary>Another model's prediction.</summary>
    public float[] Predict(DecompModel model, ReadOnlySpan<float> x, float t, IReadOnlyList<Trajectory> trajectories) =>
        Predict([model], x, t, trajectories);

    private float[] Predict(DecompModel[] models, ReadOnlySpan<float> x, float t, IReadOnlyList<Trajectory> trajectories)
    {
        var g = new Graph();
        int size = golden.Model.Config.ImageSize;
        Value y = Sampler.Predict(g, models, trajectories, g.Input("x", [1, size, size, 3]), g.Constant("t", [1], [t]), null);
        g.Output("y", y);
        using IExecutable executable = GoldenModel.Device.Compile(g);
        executable.Write("x", x);
        Sampler.WriteLatents(executable, models, trajectories);
        executable.Run();
        float[] result = new float[ImageCount];
        executable.Read("y", result);
        return result;
    }

    private ReadOnlyMemory<float> FactorOf(float[] latent, int k) =>
        latent.AsMemory(k * golden.Model.Config.LatentDim, golden.Model.Config.LatentDim);
}
