using System.Text.Json;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Formats;

namespace PrebuildKernels;

/// <summary>The kernels that sampling with a model needs, found by compiling its graphs for a device that does nothing.</summary>
internal static class ModelKernels
{
    private const int Steps = 50;

    // Tiles of convolutions do not depend on the number of images, those of attention and linear layers do.
    private static readonly int[] Images = [1, 4, 16];

    // What the goldens' shapes cannot tell, as their tests say it.
    private static readonly ArchitectureOverrides?[] Overrides = [null, new(NumHeadChannels: 16), new(ImageSize: 20, NumHeads: 2)];

    private static readonly HashSet<string> Seen = [];

    /// <summary>The published architectures, and the checkpoints that this repository holds.</summary>
    public static IEnumerable<string> Shipped() =>
        [.. Presets.Names, .. new[] { "weights/*.safetensors", "tests/goldens/*.pt" }.SelectMany(p => Directory.GetFiles(Path.GetDirectoryName(p)!, Path.GetFileName(p)).Order(StringComparer.Ordinal))];

    /// <summary>Adds a model's kernels, in all precisions.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="name">A preset or a checkpoint; a file of tensors that are no network has none.</param>
    /// <param name="target">What the kernels are for.</param>
    /// <returns>How many there are.</returns>
    public static int Add(KernelList list, string name, KernelTarget target)
    {
        int before = list.Entries.Count();
        bool isPreset = Presets.Names.Contains(name);
        foreach (ArchitectureOverrides? overrides in isPreset ? [null] : Overrides)
        {
            try
            {
                using DecompModel model = isPreset ? new(RandomWeights.Of(Presets.Get(name))) : new(Checkpoint.Open(name), overrides);
                if (!Seen.Add(JsonSerializer.Serialize(model.Config))) continue;
                foreach (Precision precision in Enum.GetValues<Precision>())
                {
                    using var device = new CudaDevice(new IdleDriver(target), new KernelLister(list), precision, specialize: false);
                    Compile(device, model);
                }
            }
            catch (CheckpointException)
            {
                // No network, or not with these.
            }
        }
        return list.Entries.Count() - before;
    }

    private static void Compile(CudaDevice device, DecompModel model)
    {
        UNetConfig config = model.Config;
        var process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, Steps));
        foreach ((SamplerKind kind, float guidance) in new[] { (SamplerKind.Ddim, 1f), (SamplerKind.Ddpm, 1f), (SamplerKind.Ddim, 10f) })
        {
            StepTable table = StepTable.Sampling(process, kind, Prediction.XStart);
            var options = new SamplerOptions();
            foreach (int images in Images)
            {
                var latents = new float[images * config.NumComponents * config.LatentDim];
                var decomposer = new Decomposer(device, model, table, options, guidance);
                new Sampler(device, [model], [.. Enumerable.Range(0, images).SelectMany(i => decomposer.Trajectories(latents, i))], table, options).Dispose();
            }
            // What recombine composes: picked factors, of one model or two, and the factors of two images.
            foreach ((int models, int factors) in new[] { (1, config.NumComponents), (2, config.NumComponents), (1, 2 * config.NumComponents), (2, 2 * config.NumComponents) })
            {
                ReadOnlyMemory<float> latent = new float[config.LatentDim];
                Trajectory composition = Trajectory.Composition([.. Enumerable.Range(0, factors).Select(i => (latent, i % models))]).Guided(guidance);
                new Sampler(device, [.. Enumerable.Repeat(model, models)], [composition], table, options).Dispose();
            }
        }
        foreach (int images in Images) model.Encode(device, new float[images * config.ImageChannels * config.ImageSize * config.ImageSize], images);
    }
}
