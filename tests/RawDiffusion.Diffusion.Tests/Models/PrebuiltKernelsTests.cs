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
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>
/// What `decompose` and `recombine` do with the models of this repository, on a device that does nothing and has no compiler: a kernel
/// that is not among the prebuilt ones is an error.
/// </summary>
public sealed class PrebuiltKernelsTests
{
    private static readonly KernelCompiler Prebuilt = new(KernelSources.Embedded, nvrtc: null, cache: null, PrebuiltKernels.Embedded);

    private static readonly string Weights = Path.Combine(Goldens.Folder, "..", "..", "weights");

    // Some files hold tensors that are no network.
    private static IEnumerable<string> Models() =>
        Directory.GetFiles(Goldens.Folder, "*.pt").Concat(Directory.GetFiles(Weights, "*.safetensors"))
        .Select(path => Path.GetFileName(path))
            .Where(name => !name.StartsWith("quirks", StringComparison.Ordinal) && !name.StartsWith("mini", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal);

    [Test]
    public void They_hold_all_that_a_model_runs(
        [ValueSource(nameof(Models))] string name, [Values] bool flags, [Values] Precision precision)
    {
        if (!flags && name.StartsWith('B'))
        {
            Assert.That(() => Open(name, flags), Throws.TypeOf<CheckpointException>().With.Message.Contains("--num-heads"),
                "its shapes do not tell its heads");
            return;
        }
        using DecompModel model = Open(name, flags);
        using var device = new CudaDevice(new IdleDriver(KernelTarget.Parse("compute_80")), Prebuilt, precision);
        UNetConfig config = model.Config;
        int imageLength = config.ImageSize * config.ImageSize * config.ImageChannels;
        GaussianDiffusion process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, 2));
        foreach ((string sampler, float guidance, int images) in new[] { ("ddim", 1f, 3), ("ddpm", 10f, 1) })
        {
            Transition transition = Samplers.Named(sampler).For(process);
            var decomposer = new Decomposer(device, model, transition, guidance: guidance);
            float[] latents = decomposer.Encode(new float[images * imageLength], images);
            decomposer.Sample(latents, images, 0, (_, _) => new float[imageLength]);
            var latent = new LatentCondition(latents.AsMemory(0, config.LatentDim));
            var composition = Composition.Mean(
                [.. Enumerable.Range(0, images * config.NumComponents).Select(i => Composition.Of(latent, i % 2))]);
            using var recombiner = new Sampler(
                device, [model.Denoiser, model.Denoiser], [composition.Guided(guidance)], transition);
        }
    }

    // Without flags, or with those that tests give the goldens.
    private static DecompModel Open(string name, bool flags) => new(
        Checkpoint.Open(name.EndsWith(".pt", StringComparison.Ordinal) ? Goldens.PathOf(name) : Path.Combine(Weights, name)),
        !flags ? null : name.StartsWith('A') ? new(NumHeadChannels: 16) : name.StartsWith('B') ? new(ImageSize: 20, NumHeads: 2) : null);
}
