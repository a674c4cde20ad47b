namespace RawDiffusion.Diffusion.Schedules;

/// <summary>
/// How the next x follows from an evaluation: x' = XStart predXStart + X x + Sigma noise, with fresh standard normal noise.
/// </summary>
/// <param name="XStart">Factor of the predicted x_0, after clipping.</param>
/// <param name="X">Factor of x.</param>
/// <param name="Sigma">Factor of the noise.</param>
public readonly record struct Update(double XStart, double X, double Sigma);

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
/// All steps of a sampler whose next x is linear in predXStart, x and noise, in the order in which they run, as the table that the fused
/// step kernel reads by its step counter. The reference's <c>ddim_sample</c>, <c>ddim_reverse_sample</c> and <c>p_sample</c> are such,
/// whatever the network predicts. The factors are folded in double and rounded to float32 once.
/// </summary>
public sealed class StepTable
{
    /// <summary>Columns of <see cref="Coefficients"/>: PredX, PredModel, XStart, X, Sigma.</summary>
    public const int Columns = 5;

    private readonly float[] coefficients;
    private readonly float[] modelTimesteps;

    /// <summary>Folds the factors.</summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="prediction">What the network's output means.</param>
    /// <param name="timesteps">The timestep of the process at each step.</param>
    /// <param name="update">What follows each step, by its place in <paramref name="timesteps"/>.</param>
    public StepTable(GaussianDiffusion diffusion, Prediction prediction, IReadOnlyList<int> timesteps, Func<int, Update> update)
    {
        coefficients = new float[timesteps.Count * Columns];
        modelTimesteps = new float[timesteps.Count];
        for (int step = 0; step < timesteps.Count; step++)
        {
            int t = timesteps[step];
            (double predX, double predModel) = PredXStart(diffusion, prediction, t);
            (double xStart, double x, double sigma) = update(step);
            Span<float> row = coefficients.AsSpan(step * Columns, Columns);
            row[0] = (float)predX;
            row[1] = (float)predModel;
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

    // x_0 = X x + Model out.
    private static (double X, double Model) PredXStart(GaussianDiffusion diffusion, Prediction prediction, int t) => prediction switch
    {
        Prediction.XStart => (0, 1),
        Prediction.Epsilon => (diffusion.SqrtRecipAlphasCumprod[t], -diffusion.SqrtRecipm1AlphasCumprod[t]),
        Prediction.V => (diffusion.SqrtAlphasCumprod[t], -diffusion.SqrtOneMinusAlphasCumprod[t]),
        _ => throw new ArgumentOutOfRangeException(nameof(prediction), prediction, "no such prediction"),
    };
}
