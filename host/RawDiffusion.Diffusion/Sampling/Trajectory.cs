namespace RawDiffusion.Diffusion.Sampling;

/// <summary>One evaluation of a U-Net for a trajectory.</summary>
/// <param name="Latent">The factor's latent [E / 2]; empty for the null latent of guidance.</param>
/// <param name="Weight">Weight of the prediction in the trajectory's.</param>
/// <param name="Model">Which of the sampler's models evaluates it.</param>
public sealed record FactorRow(ReadOnlyMemory<float> Latent, float Weight, int Model = 0);

/// <summary>
/// One image being sampled: its prediction at each step is the weighted sum of its rows' predictions. Weights sum to 1.
/// </summary>
/// <param name="Rows">At least one.</param>
public sealed record Trajectory(IReadOnlyList<FactorRow> Rows)
{
    /// <summary>A single factor on its own.</summary>
    public static Trajectory Factor(ReadOnlyMemory<float> latent) => new([new FactorRow(latent, 1)]);

    /// <summary>The mean over factors, each with the model it belongs to.</summary>
    public static Trajectory Composition(IReadOnlyList<(ReadOnlyMemory<float> Latent, int Model)> factors) =>
        new([.. factors.Select(f => new FactorRow(f.Latent, 1f / factors.Count, f.Model))]);

    /// <summary>
    /// Classifier-free guidance: u + s (c - u), where c is this trajectory's prediction and u that of the null latent.
    /// It is affine in the predictions, so it is a change of weights and one more row for each model.
    /// </summary>
    /// <param name="scale">s; 1 changes nothing.</param>
    public Trajectory Guided(float scale)
    {
        if (scale == 1) return this;
        IEnumerable<FactorRow> conditional = Rows.Select(r => r with { Weight = scale * r.Weight });
        IEnumerable<FactorRow> unconditional = Rows.GroupBy(r => r.Model)
            .Select(m => new FactorRow(ReadOnlyMemory<float>.Empty, (1 - scale) * m.Sum(r => r.Weight), m.Key));
        return new Trajectory([.. conditional, .. unconditional]);
    }
}
