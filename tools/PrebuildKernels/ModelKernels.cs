using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Schedules;

namespace PrebuildKernels;

/// <summary>The kernels that decomposing images with a model needs, found by compiling its graphs for a device that does nothing.</summary>
internal static class ModelKernels
{
    private const int Steps = 50;

    // Tiles of convolutions do not depend on the number of images, those of attention and linear layers do.
    private static readonly int[] Images = [1, 16];

    /// <summary>Adds a model's kernels, in all precisions.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="model">The network.</param>
    /// <param name="target">What the kernels are for.</param>
    public static void Add(KernelList list, DecompModel model, KernelTarget target)
    {
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            using var device = new CudaDevice(new IdleDriver(target), new KernelLister(list), precision, specialize: false);
            var process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, Steps));
            foreach (int images in Images)
            {
                foreach (SamplerKind kind in Enum.GetValues<SamplerKind>())
                {
                    StepTable table = StepTable.Sampling(process, kind, Prediction.XStart);
                    var options = new SamplerOptions();
                    var latents = new float[images * model.Config.NumComponents * model.Config.LatentDim];
                    var decomposer = new Decomposer(device, model, table, options);
                    Trajectory[] trajectories = [.. Enumerable.Range(0, images).SelectMany(i => decomposer.Trajectories(latents, i))];
                    new Sampler(device, [model], trajectories, table, options).Dispose();
                }
                model.Encode(device, new float[images * 3 * model.Config.ImageSize * model.Config.ImageSize], images);
            }
        }
    }
}
