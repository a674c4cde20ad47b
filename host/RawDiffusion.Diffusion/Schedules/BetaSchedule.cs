namespace RawDiffusion.Diffusion.Schedules;

/// <summary>
/// Noise variances beta_t of the forward process q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I), in double.
/// Source: <c>get_named_beta_schedule</c> in the reference's diffusion/gaussian_diffusion.py.
/// </summary>
public static class BetaSchedule
{
    /// <summary>
    /// Evenly spaced betas from 0.1/T to 20/T (Ho et al. 2020, section 4, for T = 1000: 1e-4 to 0.02). The reference
    /// gives this schedule the shape [T, 1] by a stray comma and then refuses it; here it has the shape [T].
    /// </summary>
    /// <param name="timesteps">T, at least 21: with fewer the last beta would reach 1.</param>
    /// <returns>T betas, ascending.</returns>
    /// <exception cref="ArgumentException">T is smaller than 21.</exception>
    public static double[] Linear(int timesteps)
    {
        if (timesteps < 21)
            throw new ArgumentException($"a linear schedule needs at least 21 timesteps, found {timesteps}");
        double scale = 1000.0 / timesteps;
        double start = scale * 0.0001;
        double end = scale * 0.02;
        double stride = (end - start) / (timesteps - 1);
        double[] betas = new double[timesteps];
        for (int t = 0; t < timesteps; t++) betas[t] = t * stride + start;
        betas[^1] = end;
        return betas;
    }

    /// <summary>
    /// Betas of the squared-cosine alphasCumprod(t) = cos((t + 0.008) / 1.008 * pi / 2)^2 over t in [0, 1], each at
    /// most 0.999 (Nichol and Dhariwal 2021, equation 17; the reference calls it <c>squaredcos_cap_v2</c>).
    /// </summary>
    /// <param name="timesteps">T, at least 1.</param>
    /// <returns>T betas.</returns>
    /// <exception cref="ArgumentException">T is smaller than 1.</exception>
    public static double[] SquaredCosine(int timesteps)
    {
        if (timesteps < 1)
            throw new ArgumentException($"a squared-cosine schedule needs at least 1 timestep, found {timesteps}");
        double[] betas = new double[timesteps];
        for (int t = 0; t < timesteps; t++)
        {
            double alphaBar = AlphaBar((double)t / timesteps);
            double alphaBarNext = AlphaBar((double)(t + 1) / timesteps);
            betas[t] = Math.Min(1 - alphaBarNext / alphaBar, 0.999);
        }
        return betas;

        static double AlphaBar(double t)
        {
            double cosine = Math.Cos((t + 0.008) / 1.008 * Math.PI / 2);
            return cosine * cosine;
        }
    }

    /// <summary>The schedule of that name: <c>linear</c>, or <c>squaredcos</c> (also <c>squaredcos_cap_v2</c>).</summary>
    /// <param name="name">The schedule's name in the reference.</param>
    /// <param name="timesteps">T, the number of betas.</param>
    /// <exception cref="ArgumentException">There is no schedule of that name, or T is too small for it.</exception>
    public static double[] Named(string name, int timesteps) => name switch
    {
        "linear" => Linear(timesteps),
        "squaredcos" or "squaredcos_cap_v2" => SquaredCosine(timesteps),
        _ => throw new ArgumentException($"unknown noise schedule '{name}': use 'linear' or 'squaredcos'"),
    };
}
