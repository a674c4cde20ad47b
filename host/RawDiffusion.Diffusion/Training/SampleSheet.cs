using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Training;

/// <summary>What a network makes of the first images of a set: a row each of input, factors and reconstruction.</summary>
internal static class SampleSheet
{
    private const int Images = 4, Steps = 20;

    /// <summary>Samples and draws.</summary>
    /// <param name="device">Device to sample on.</param>
    /// <param name="config">Architecture of the network.</param>
    /// <param name="run">What it was trained to do.</param>
    /// <param name="weights">Where the tensors of the network come from.</param>
    /// <param name="set">The images; those that cannot be read are left out.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Image Draw(
        IDevice device, UNetConfig config, RunConfig run, TensorFile weights, ImageSet set, CancellationToken cancellation)
    {
        using var model = new DecompModel(weights, new ArchitectureOverrides(config.ImageSize, config.NumHeads, config.NumHeadChannels));
        GaussianDiffusion process = run.Diffusion();
        int steps = Enumerable.Range(1, Steps).Last(n => process.Timesteps % n == 0);
        var ddim = new Ddim(process.Respace(TimestepSpacing.Every(process.Timesteps, steps)));
        var decomposer = new Decomposer(
            device, model, ddim, new SamplerOptions { Predicts = run.Training.Predicts, Seed = run.Training.Seed });

        return decomposer.Draw([.. Readable(set).Take(Images)], cancellation);
    }

    private static IEnumerable<float[]> Readable(ImageSet set)
    {
        for (int i = 0; i < set.Count; i++)
        {
            float[]? image = null;
            try
            {
                image = set.Load(i);
            }
            catch (Exception e) when (e is FileFormatException or IOException or UnauthorizedAccessException)
            {
                continue; // the loader has told of it
            }
            yield return image;
        }
    }
}
