using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>
/// Denoising diffusion implicit models (Song et al. 2020, equation 12), from the last timestep of the process to timestep 0: the
/// reference's <c>ddim_sample</c>.
/// </summary>
public sealed class Ddim : LinearTransition
{
    private readonly double eta;

    /// <summary>Names the evaluations.</summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="eta">Noise that is added, from 0 (none, deterministic) to 1.</param>
    /// <exception cref="ArgumentException">Eta is outside [0, 1].</exception>
    public Ddim(GaussianDiffusion diffusion, double eta = 0) : base(diffusion, Enumerable.Range(0, diffusion.Timesteps).Reverse())
    {
        if (!(eta >= 0 && eta <= 1)) throw new ArgumentException($"eta must be between 0 and 1, found {eta}");
        this.eta = eta;
    }

    /// <inheritdoc/>
    protected override Update At(int step)
    {
        int t = Timesteps[step];
        double alphaBar = Diffusion.AlphasCumprod[t];
        double alphaBarPrev = Diffusion.AlphasCumprodPrev[t];
        // At t = 0 alphaBarPrev is 1, so sigma is 0 and the reference's mask has nothing to hide.
        double sigma = eta * Math.Sqrt((1 - alphaBarPrev) / (1 - alphaBar)) * Math.Sqrt(1 - alphaBar / alphaBarPrev);
        return Towards(Diffusion, t, alphaBarPrev, sigma);
    }

    // x' = sqrt(target) x0 + sqrt(1 - target - sigma^2) eps, with target an alpha-bar and
    // eps = (x - sqrt(alphaBar) x0) / sqrt(1 - alphaBar), the same as the reference's quotient of the sqrt-recip tables.
    internal static Update Towards(GaussianDiffusion diffusion, int t, double target, double sigma)
    {
        double x = Math.Sqrt((1 - target - sigma * sigma) / (1 - diffusion.AlphasCumprod[t]));
        return new Update(Math.Sqrt(target) - x * diffusion.SqrtAlphasCumprod[t], x, sigma);
    }
}
