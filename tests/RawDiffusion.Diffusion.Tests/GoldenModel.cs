using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests;

/// <summary>A golden configuration: its model, its reference tensors in NHWC, and checks against them.</summary>
internal sealed class GoldenModel : IDisposable
{
    private readonly TensorFile golden;

    public GoldenModel(string config)
    {
        Config = config;
        golden = Goldens.Open(config);
        Model = Load(config, "");
    }

    public static CpuDevice Device { get; } = new();

    public string Config { get; }

    public DecompModel Model { get; }

    public int Images => golden["x_start"].Shape[0];

    public IEnumerable<string> Names => golden.Names;

    /// <summary>The model of a configuration: from its file, or with closed-form weights of a salt.</summary>
    public static DecompModel Load(string config, string salt)
    {
        ArchitectureOverrides overrides = config switch
        {
            "B" => new(ImageSize: 20, NumHeads: 2),
            "A" or "tiny_cf" => new(NumHeadChannels: 16),
            _ => new(),
        };
        TensorFile file = salt == "" && config is "A" or "B" && salt == ""
            ? Checkpoint.Open(Goldens.PathOf(config + ".pt"), WeightSelection.Auto)
            : ClosedFormWeights.StateDict(config, salt);
        return new DecompModel(file, overrides);
    }

    public bool Has(string name) => golden.TryGet(name, out _);

    public IReadOnlyList<int> Shape(string name) => golden[name].Shape;

    public long[] Integers(string name) => golden[name].ToInt64s();

    /// <summary>A tensor; images come as NHWC, also those with leading dimensions before NCHW.</summary>
    public float[] Read(string name)
    {
        IReadOnlyList<int> shape = golden[name].Shape;
        float[] values = golden[name].ToSingles();
        return shape.Count >= 4 && shape[^1] > 0 ? Layout.ToNhwc(values, shape[^3], shape[^2], shape[^1]) : values;
    }

    /// <summary>Compares NHWC values, or their first images where fewer were kept, with a golden tensor.</summary>
    public void Check(string name, ReadOnlySpan<float> found, double? tolerance = null)
    {
        float[] expected = Read(name);
        Tolerance allowed = tolerance is { } t ? Tolerance.Absolute(t) : Goldens.ToleranceOf(Config, name);
        int[] shape = [expected.Length];
        Comparer.RequireClose($"{Config} {name} (NHWC)", shape, expected.AsSpan(), shape, found[..expected.Length], allowed);
    }

    /// <summary>Compares one image with image <paramref name="index"/> of a golden tensor.</summary>
    public void CheckImage(string name, int index, ReadOnlySpan<float> found)
    {
        float[] expected = Read(name);
        int[] shape = [found.Length];
        Comparer.RequireClose($"{Config} {name} image {index} (NHWC)", shape, expected.AsSpan(index * found.Length, found.Length), shape,
            found, Goldens.ToleranceOf(Config, name));
    }

    public void Dispose()
    {
        Model.Dispose();
        golden.Dispose();
    }
}

internal static class Layout
{
    /// <summary>[.., C, H, W] to [.., H, W, C].</summary>
    public static float[] ToNhwc(float[] x, int c, int h, int w)
    {
        float[] y = new float[x.Length];
        int size = c * h * w;
        for (int n = 0; n < x.Length / Math.Max(1, size); n++)
        {
            for (int i = 0; i < c; i++)
                for (int p = 0; p < h * w; p++) y[n * size + p * c + i] = x[n * size + i * h * w + p];
        }

        return y;
    }
}
