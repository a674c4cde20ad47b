namespace RawDiffusion.Diffusion.Schedules;

/// <summary>
/// The tables of a Gaussian diffusion process, one double per timestep, from its betas. Names and formulas are those of
/// the reference's diffusion/gaussian_diffusion.py (Ho et al. 2020; <c>alphasCumprod</c> is the paper's alpha-bar);
/// <see cref="Respace"/> is its diffusion/respace.py.
/// </summary>
public sealed class GaussianDiffusion
{
    private readonly double[] betas;
    private readonly int[] timestepMap;
    private readonly float[] modelTimesteps;

    /// <summary>The full process, as training uses it: the model sees the timestep's index itself.</summary>
    /// <param name="betas">The noise variances, each strictly between 0 and 1.</param>
    /// <exception cref="ArgumentException">There is no beta, or one is outside (0, 1).</exception>
    public GaussianDiffusion(IReadOnlyList<double> betas)
        : this([.. betas], betas.Count, [.. Enumerable.Range(0, betas.Count)], [.. Enumerable.Range(0, betas.Count)])
    {
    }

    private GaussianDiffusion(double[] betas, int trainingTimesteps, int[] timestepMap, float[] modelTimesteps)
    {
        if (betas.Length == 0) throw new ArgumentException("a diffusion process needs at least one beta, found none");
        this.betas = betas;
        TrainingTimesteps = trainingTimesteps;
        this.timestepMap = timestepMap;
        this.modelTimesteps = modelTimesteps;

        int count = betas.Length;
        double[] alphasCumprod = new double[count];
        double product = 1;
        for (int t = 0; t < count; t++)
        {
            // A beta of 1 would leave no signal, and the reciprocals below would be infinite.
            if (!(betas[t] > 0 && betas[t] < 1))
                throw new ArgumentException($"betas must lie strictly between 0 and 1, found {betas[t]} at index {t}");
            product *= 1 - betas[t];
            alphasCumprod[t] = product;
        }
        double[] alphasCumprodPrev = [1, .. alphasCumprod[..^1]];

        AlphasCumprod = alphasCumprod;
        AlphasCumprodPrev = alphasCumprodPrev;
        AlphasCumprodNext = [.. alphasCumprod[1..], 0];
        SqrtAlphasCumprod = Table(t => Math.Sqrt(alphasCumprod[t]));
        SqrtOneMinusAlphasCumprod = Table(t => Math.Sqrt(1 - alphasCumprod[t]));
        LogOneMinusAlphasCumprod = Table(t => Math.Log(1 - alphasCumprod[t]));
        SqrtRecipAlphasCumprod = Table(t => Math.Sqrt(1 / alphasCumprod[t]));
        SqrtRecipm1AlphasCumprod = Table(t => Math.Sqrt(1 / alphasCumprod[t] - 1));

        PosteriorVariance = Table(t => betas[t] * (1 - alphasCumprodPrev[t]) / (1 - alphasCumprod[t]));
        PosteriorLogVarianceClipped = Table(LogPosteriorVariance);
        PosteriorMeanCoef1 = Table(t => betas[t] * Math.Sqrt(alphasCumprodPrev[t]) / (1 - alphasCumprod[t]));
        PosteriorMeanCoef2 = Table(t => (1 - alphasCumprodPrev[t]) * Math.Sqrt(1 - betas[t]) / (1 - alphasCumprod[t]));
        ModelLogVariance = Table(InterpolatedLogVariance);

        double[] Table(Func<int, double> entry)
        {
            double[] table = new double[count];
            for (int t = 0; t < count; t++) table[t] = entry(t);
            return table;
        }

        // The variance is 0 at t = 0, so the reference borrows the logarithm of t = 1. A process of one step has nothing
        // to borrow (the reference stops with an index error); its beta stands in, and is never used: no noise at t = 0.
        double LogPosteriorVariance(int t) =>
            count == 1 ? Math.Log(betas[0]) : Math.Log(PosteriorVariance[Math.Max(t, 1)]);

        // What p_mean_variance really uses. The formula is Nichol and Dhariwal's equation 15 with the network's output
        // replaced by beta_t itself, which the reference reads as a value in [-1, 1].
        double InterpolatedLogVariance(int t)
        {
            double fraction = (betas[t] + 1) / 2;
            return fraction * Math.Log(betas[t]) + (1 - fraction) * PosteriorLogVarianceClipped[t];
        }
    }

    /// <summary>Number of timesteps of this process; after <see cref="Respace"/>, of the retained ones.</summary>
    public int Timesteps => betas.Length;

    /// <summary>T, the number of timesteps of the full process.</summary>
    public int TrainingTimesteps { get; }

    /// <summary>beta_t.</summary>
    public IReadOnlyList<double> Betas => betas;

    /// <summary>alpha-bar_t, the product of 1 - beta_s for s up to and including t.</summary>
    public IReadOnlyList<double> AlphasCumprod { get; }

    /// <summary>alpha-bar_{t-1}; 1 at t = 0.</summary>
    public IReadOnlyList<double> AlphasCumprodPrev { get; }

    /// <summary>alpha-bar_{t+1}; 0 at the last t.</summary>
    public IReadOnlyList<double> AlphasCumprodNext { get; }

    /// <summary>sqrt(alpha-bar_t): the signal's factor in q(x_t | x_0).</summary>
    public IReadOnlyList<double> SqrtAlphasCumprod { get; }

    /// <summary>sqrt(1 - alpha-bar_t): the noise's factor in q(x_t | x_0).</summary>
    public IReadOnlyList<double> SqrtOneMinusAlphasCumprod { get; }

    /// <summary>ln(1 - alpha-bar_t).</summary>
    public IReadOnlyList<double> LogOneMinusAlphasCumprod { get; }

    /// <summary>sqrt(1 / alpha-bar_t): the factor of x_t when x_0 is predicted from the noise.</summary>
    public IReadOnlyList<double> SqrtRecipAlphasCumprod { get; }

    /// <summary>sqrt(1 / alpha-bar_t - 1): the factor of the noise when x_0 is predicted from it.</summary>
    public IReadOnlyList<double> SqrtRecipm1AlphasCumprod { get; }

    /// <summary>Variance of q(x_{t-1} | x_t, x_0), Ho et al. equation 7; 0 at t = 0.</summary>
    public IReadOnlyList<double> PosteriorVariance { get; }

    /// <summary>ln of <see cref="PosteriorVariance"/>, with the value of t = 1 at t = 0.</summary>
    public IReadOnlyList<double> PosteriorLogVarianceClipped { get; }

    /// <summary>Factor of x_0 in the mean of q(x_{t-1} | x_t, x_0), Ho et al. equation 7.</summary>
    public IReadOnlyList<double> PosteriorMeanCoef1 { get; }

    /// <summary>Factor of x_t in the mean of q(x_{t-1} | x_t, x_0), Ho et al. equation 7.</summary>
    public IReadOnlyList<double> PosteriorMeanCoef2 { get; }

    /// <summary>
    /// ln of the variance that ancestral sampling uses (the reference's <c>p_mean_variance</c>): f ln(beta_t) +
    /// (1 - f) <see cref="PosteriorLogVarianceClipped"/> with f = (beta_t + 1) / 2.
    /// </summary>
    public IReadOnlyList<double> ModelLogVariance { get; }

    /// <summary>For each timestep of this process, its index in the full process.</summary>
    public IReadOnlyList<int> TimestepMap => timestepMap;

    /// <summary>
    /// The timestep that the model is given at each timestep of this process: the index itself in the full process,
    /// the index in the full process times 1000/T after <see cref="Respace"/>.
    /// </summary>
    public IReadOnlyList<float> ModelTimesteps => modelTimesteps;

    /// <summary>
    /// The process that visits only some timesteps and has this process's alpha-bar at each of them (Nichol and
    /// Dhariwal 2021, section 4; the reference's <c>SpacedDiffusion</c> with <c>rescale_timesteps</c>).
    /// </summary>
    /// <param name="retained">Timesteps to keep, in any order; repeats count once.</param>
    /// <exception cref="ArgumentException">None is retained, or one is not a timestep of this process.</exception>
    public GaussianDiffusion Respace(IEnumerable<int> retained)
    {
        int[] map = [.. retained.Distinct().Order()];
        if (map.Length == 0) throw new ArgumentException("a respaced process needs at least one timestep, found none");
        foreach (int t in map)
        {
            if (t < 0 || t >= Timesteps)
                throw new ArgumentException($"a process of {Timesteps} timesteps has no timestep {t} to retain");
        }
        double[] spacedBetas = new double[map.Length];
        double lastAlphaCumprod = 1;
        for (int i = 0; i < map.Length; i++)
        {
            spacedBetas[i] = 1 - AlphasCumprod[map[i]] / lastAlphaCumprod;
            lastAlphaCumprod = AlphasCumprod[map[i]];
        }
        int[] trainingMap = [.. map.Select(t => timestepMap[t])];
        // In float32 and in this order, because the reference multiplies a float32 tensor by the scale.
        float scale = (float)(1000.0 / TrainingTimesteps);
        return new GaussianDiffusion(spacedBetas, TrainingTimesteps, trainingMap, [.. trainingMap.Select(t => t * scale)]);
    }
}
