namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// The decay of the parameters' moving average, as ema_pytorch has it (the authors' <c>EMA(model, beta, update_every=1)</c>):
/// for 100 updates the average is a copy, then its decay is 1 - n^(-2/3) at the n-th update after them, at most beta.
/// </summary>
public static class MovingAverage
{
    private const int UpdateAfterStep = 100;

    /// <summary>The share of the parameters in their new average.</summary>
    /// <param name="step">Updates done before this one.</param>
    /// <param name="beta">Largest decay.</param>
    public static double ShareAt(long step, double beta)
    {
        long n = step - UpdateAfterStep;
        return n <= 0 ? 1 : 1 - Math.Min(beta, 1 - Math.Pow(1 + n, -2.0 / 3));
    }
}
