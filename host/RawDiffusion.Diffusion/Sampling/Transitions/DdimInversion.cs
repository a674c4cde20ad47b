using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>
/// DDIM backwards, from image to noise: from timestep 0 to the last of the process (the reference's <c>ddim_reverse_sample</c>). The image
/// as it is before timestep t of <see cref="Ddim"/> is reached after t evaluations; the last goes on to pure noise.
/// </summary>
/// <param name="diffusion">The process, respaced or not.</param>
public sealed class DdimInversion(GaussianDiffusion diffusion)
    : LinearTransition(diffusion, Enumerable.Range(0, diffusion.Timesteps))
{
    /// <inheritdoc/>
    protected override Update At(int step) => Ddim.Towards(Diffusion, Timesteps[step], Diffusion.AlphasCumprodNext[Timesteps[step]], 0);
}
