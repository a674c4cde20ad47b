using System.Text.Json;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Formats;

namespace PrebuildKernels;

/// <summary>The kernels that sampling with a model needs, found by compiling its graphs for a device that does nothing.</summary>
internal static class ModelKernels
{
    // Tiles of convolutions do not depend on the number of images and steps, those of attention and linear layers do.
    private static readonly (string Sampler, float Guidance, int Images, int Steps)[] Runs =
        [("ddim", 1, 1, 1), ("ddim", 1, 2, 2), ("ddim", 1, 4, 4), ("ddim", 1, 16, 1000),
        ("ddpm", 10, 1, 50)];

    private static readonly HashSet<string> Seen = [];

    /// <summary>The published architectures, and the checkpoints that this repository holds.</summary>
    public static IEnumerable<string> Shipped() =>
    [
        .. Presets.Names,
        .. Directory.GetFiles("weights", "*.safetensors").Order(StringComparer.Ordinal),
        .. Directory.GetFiles("tests/goldens", "*.pt").Order(StringComparer.Ordinal),
    ];

    /// <summary>Adds a model's kernels, in all precisions.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="name">A preset or a checkpoint; a file of tensors that are no network has none.</param>
    /// <param name="target">What the kernels are for.</param>
    /// <returns>How many there are.</returns>
    public static int Add(KernelList list, string name, KernelTarget target)
    {
        int before = list.Entries.Count();
        bool isPreset = Presets.Names.Contains(name);
        foreach (ArchitectureOverrides? overrides in new[] { null, Overrides(Path.GetFileName(name)) }.Distinct())
        {
            try
            {
                using DecompModel model = new(isPreset ? Zeros(Presets.Get(name)) : Checkpoint.Open(name), overrides);
                if (!Seen.Add(JsonSerializer.Serialize(model.Config))) continue;
                foreach (Precision precision in Enum.GetValues<Precision>())
                {
                    using var device = new CudaDevice(new IdleDriver(target), new KernelLister(list), precision, specialize: false);
                    Compile(device, model);
                }
            }
            catch (CheckpointException)
            {
                // No network.
            }
        }
        return list.Entries.Count() - before;
    }

    // What the shapes of the goldens cannot tell, as tests say it.
    private static ArchitectureOverrides? Overrides(string name) =>
        name.StartsWith('A') ? new(NumHeadChannels: 16) : name.StartsWith('B') ? new(ImageSize: 20, NumHeads: 2) : null;

    // Kernels do not depend on weights, and random ones are made anew each time they are read.
    private static TensorFile Zeros(UNetConfig config) =>
        new(DecompTensors.Of(config).Select(
            t => KeyValuePair.Create(t.Name, new Tensor(TensorType.Float32, t.Shape, bytes => bytes.Clear()))));

    private static void Compile(CudaDevice device, DecompModel model)
    {
        UNetConfig config = model.Config;
        var options = new SamplerOptions();
        foreach ((string sampler, float guidance, int images, int steps) in Runs)
        {
            GaussianDiffusion process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, steps));
            Transition transition = Samplers.Named(sampler).For(process);
            float[] latents = new float[images * config.NumComponents * config.LatentDim];
            var decomposer = new Decomposer(device, model, transition, options, guidance);
            Composition[] compositions = [.. Enumerable.Range(0, images).SelectMany(i => decomposer.Compositions(latents, i))];
            new Sampler(device, [model.Denoiser], compositions, transition,
                options with { CompositionsOfImage = decomposer.TrajectoriesOfImage }).Dispose();
            // As recombine: factors of two models.
            var latent = new LatentCondition(new float[config.LatentDim]);
            var composition = Composition.Mean([.. Enumerable.Range(0, config.NumComponents).Select(i => Composition.Of(latent, i % 2))]);
            new Sampler(device, [model.Denoiser, model.Denoiser], [composition.Guided(guidance)], transition, options).Dispose();
        }
        int imageLength = config.ImageChannels * config.ImageSize * config.ImageSize;
        foreach (int images in Runs.Select(r => r.Images).Distinct()) model.Encode(device, new float[images * imageLength], images);
    }
}
