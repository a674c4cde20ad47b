using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>
/// Ancestral sampling from p(x_{t-1} | x_t) (Ho et al. 2020, algorithm 2), from the last timestep of the process to timestep 0: the
/// reference's <c>p_sample</c>.
/// </summary>
/// <param name="diffusion">The process, respaced or not.</param>
public sealed class Ddpm(GaussianDiffusion diffusion)
    : LinearTransition(diffusion, Enumerable.Range(0, diffusion.Timesteps).Reverse())
{
    /// <inheritdoc/>
    protected override Update At(int step)
    {
        int t = Timesteps[step];
        return new Update(Diffusion.PosteriorMeanCoef1[t], Diffusion.PosteriorMeanCoef2[t],
            t == 0 ? 0 : Math.Exp(0.5 * Diffusion.ModelLogVariance[t]));
    }
}
