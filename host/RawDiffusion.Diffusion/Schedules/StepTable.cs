namespace RawDiffusion.Diffusion.Schedules;

/// <summary>
/// The constants of one sampling step. With <c>out</c> the network's output at <see cref="ModelTimestep"/>:
/// <code>
/// predXStart = clip(PredX * x + PredModel * out)
/// x'         = XStart * predXStart + X * x + Sigma * noise
/// </code>
/// </summary>
/// <param name="PredX">Factor of x in predXStart.</param>
/// <param name="PredModel">Factor of the network's output in predXStart.</param>
/// <param name="XStart">Factor of predXStart in the next x.</param>
/// <param name="X">Factor of x in the next x.</param>
/// <param name="Sigma">Factor of fresh standard normal noise in the next x.</param>
/// <param name="ModelTimestep">The timestep that the network is given.</param>
public readonly record struct SamplingStep(
    float PredX, float PredModel, float XStart, float X, float Sigma, float ModelTimestep);

/// <summary>
/// All steps of a sampler, in the order in which they run, as the table that the fused step kernel reads by its step
/// counter. One form serves DDIM, its inversion and ancestral sampling, for x_0 and noise prediction: the reference's
/// <c>ddim_sample</c>, <c>ddim_reverse_sample</c> and <c>p_sample</c> are linear in predXStart, x and noise. The factors
/// are folded in double and rounded to float32 once.
/// </summary>
public sealed class StepTable
{
    /// <summary>Columns of <see cref="Coefficients"/>: PredX, PredModel, XStart, X, Sigma.</summary>
    public const int Columns = 5;

    private readonly float[] coefficients;
    private readonly float[] modelTimesteps;

    private StepTable(GaussianDiffusion diffusion, Prediction prediction, IEnumerable<int> order, Func<int, Update> update)
    {
        int[] indices = [.. order];
        coefficients = new float[indices.Length * Columns];
        modelTimesteps = new float[indices.Length];
        for (int step = 0; step < indices.Length; step++)
        {
            int t = indices[step];
            (double xStart, double x, double sigma) = update(t);
            bool isXStart = prediction == Prediction.XStart;
            Span<float> row = coefficients.AsSpan(step * Columns, Columns);
            row[0] = isXStart ? 0 : (float)diffusion.SqrtRecipAlphasCumprod[t];
            row[1] = isXStart ? 1 : (float)-diffusion.SqrtRecipm1AlphasCumprod[t];
            row[2] = (float)xStart;
            row[3] = (float)x;
            row[4] = (float)sigma;
            modelTimesteps[step] = diffusion.ModelTimesteps[t];
        }
    }

    /// <summary>Number of steps.</summary>
    public int Count => modelTimesteps.Length;

    /// <summary>[Count, <see cref="Columns"/>] row-major: one row per step.</summary>
    public ReadOnlySpan<float> Coefficients => coefficients;

    /// <summary>[Count]: the timestep that the network is given at each step.</summary>
    public ReadOnlySpan<float> ModelTimesteps => modelTimesteps;

    /// <summary>Whether a step adds noise: otherwise the noise need not be drawn.</summary>
    public bool AddsNoise
    {
        get
        {
            for (int step = 0; step < Count; step++)
            {
                if (coefficients[step * Columns + 4] != 0) return true;
            }
            return false;
        }
    }

    /// <summary>The constants of one step.</summary>
    /// <param name="step">0 for the step that runs first.</param>
    /// <exception cref="IndexOutOfRangeException">There is no such step.</exception>
    public SamplingStep this[int step]
    {
        get
        {
            float modelTimestep = modelTimesteps[step];
            ReadOnlySpan<float> row = coefficients.AsSpan(step * Columns, Columns);
            return new SamplingStep(row[0], row[1], row[2], row[3], row[4], modelTimestep);
        }
    }

    /// <summary>The steps from noise to image: from the last timestep of the process to timestep 0.</summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="sampler">DDIM or ancestral.</param>
    /// <param name="prediction">What the network's output means.</param>
    /// <param name="eta">DDIM's noise, from 0 (deterministic) to 1; 0 for the ancestral sampler, which has its own.</param>
    /// <exception cref="ArgumentException">Eta is outside [0, 1], or not 0 for the ancestral sampler.</exception>
    public static StepTable Sampling(GaussianDiffusion diffusion, SamplerKind sampler, Prediction prediction, double eta = 0)
    {
        if (!(eta >= 0 && eta <= 1)) throw new ArgumentException($"--eta must be between 0 and 1, found {eta}");
        if (sampler == SamplerKind.Ddpm && eta != 0)
            throw new ArgumentException($"--eta {eta} has no meaning for the ddpm sampler: leave it out or use ddim");
        return new StepTable(
            diffusion,
            prediction,
            Enumerable.Range(0, diffusion.Timesteps).Reverse(),
            t => sampler == SamplerKind.Ddim ? Ddim(diffusion, t, eta) : Ancestral(diffusion, t));
    }

    /// <summary>
    /// The steps of DDIM inversion, from image to noise: from timestep 0 to the last of the process (the reference's
    /// <c>ddim_reverse_sample</c>). The image as it is before timestep t of <see cref="Sampling"/> is reached after t
    /// of these steps; the last goes on to pure noise.
    /// </summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="prediction">What the network's output means.</param>
    public static StepTable Inversion(GaussianDiffusion diffusion, Prediction prediction) => new(
        diffusion,
        prediction,
        Enumerable.Range(0, diffusion.Timesteps),
        t => Towards(diffusion, t, diffusion.AlphasCumprodNext[t], sigma: 0));

    private static Update Ddim(GaussianDiffusion diffusion, int t, double eta)
    {
        double alphaBar = diffusion.AlphasCumprod[t];
        double alphaBarPrev = diffusion.AlphasCumprodPrev[t];
        // At t = 0 alphaBarPrev is 1, so sigma is 0 and the reference's mask has nothing to hide.
        double sigma = eta * Math.Sqrt((1 - alphaBarPrev) / (1 - alphaBar)) * Math.Sqrt(1 - alphaBar / alphaBarPrev);
        return Towards(diffusion, t, alphaBarPrev, sigma);
    }

    // Song et al. equation 12: x' = sqrt(target) x0 + sqrt(1 - target - sigma^2) eps, with target an alpha-bar and
    // eps = (x - sqrt(alphaBar) x0) / sqrt(1 - alphaBar), the same as the reference's quotient of the sqrt-recip tables.
    private static Update Towards(GaussianDiffusion diffusion, int t, double target, double sigma)
    {
        double x = Math.Sqrt((1 - target - sigma * sigma) / (1 - diffusion.AlphasCumprod[t]));
        return new Update(Math.Sqrt(target) - x * diffusion.SqrtAlphasCumprod[t], x, sigma);
    }

    private static Update Ancestral(GaussianDiffusion diffusion, int t) => new(
        diffusion.PosteriorMeanCoef1[t],
        diffusion.PosteriorMeanCoef2[t],
        t == 0 ? 0 : Math.Exp(0.5 * diffusion.ModelLogVariance[t]));

    private readonly record struct Update(double XStart, double X, double Sigma);
}
