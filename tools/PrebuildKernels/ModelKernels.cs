using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Schedules;

namespace PrebuildKernels;

/// <summary>The kernels that decomposing images with a model needs, found by compiling its graphs for a device that does nothing.</summary>
internal static class ModelKernels
{
    private const int Steps = 50;

    /// <summary>Adds a model's kernels, in all precisions.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="model">The network.</param>
    /// <param name="target">What the kernels are for; its capability decides the tiles.</param>
    public static void Add(KernelList list, DecompModel model, KernelTarget target)
    {
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            using var device = new CudaDevice(new IdleDriver(target.ComputeCapability, target.ToString()), new Recorder(list), precision, specialize: false);
            var process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, Steps));
            foreach (SamplerKind kind in Enum.GetValues<SamplerKind>())
            {
                StepTable table = StepTable.Sampling(process, kind, Prediction.XStart);
                var options = new SamplerOptions();
                var latents = new float[model.Config.NumComponents * model.Config.LatentDim];
                Trajectory[] trajectories = [.. new Decomposer(device, model, table, options).Trajectories(latents, 0)];
                new Sampler(device, [model], trajectories, table, options).Dispose();
            }
            model.Encode(device, new float[3 * model.Config.ImageSize * model.Config.ImageSize], 1);
        }
    }

    private sealed class Recorder(KernelList list) : IKernelCompiler
    {
        public bool CanCompile => false;

        public byte[] Compile(KernelVariant variant, string target)
        {
            lock (list) list.Add(variant, target);
            return [];
        }
    }
}
