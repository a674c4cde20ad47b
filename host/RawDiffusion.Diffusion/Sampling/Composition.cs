using RawDiffusion.Diffusion.Conditioning;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>One evaluation of a network.</summary>
/// <param name="Condition">What the network is asked for.</param>
/// <param name="Weight">Weight of its answer in the image's prediction.</param>
/// <param name="Model">Which of the sampler's networks is asked.</param>
public sealed record CompositionRow(ICondition Condition, float Weight, int Model);

/// <summary>
/// What one image's prediction is made of: the weighted sum of its rows' predictions. All operators are affine in the predictions, so
/// each is a change of weights and rows. Liu et al. 2022 (2206.01714), equations 11 and 13.
/// </summary>
public sealed class Composition
{
    private Composition(IEnumerable<CompositionRow> rows)
    {
        CompositionRow[] all = [.. rows];
        // All null rows of a network predict the same, so they are one, the last; weights that cancel need none.
        IEnumerable<CompositionRow> nulls = all.Where(IsNull).GroupBy(r => r.Model)
            .Select(m => m.Count() == 1 ? m.First() : m.First() with { Weight = (float)m.Sum(r => (double)r.Weight) });
        Rows = [.. all.Where(r => !IsNull(r)), .. nulls.Where(r => r.Weight != 0)];
        if (Rows.Count == 0) throw new ArgumentException("a composition needs at least one row with a weight, found none");
    }

    /// <summary>The evaluations, at least one.</summary>
    public IReadOnlyList<CompositionRow> Rows { get; }

    /// <summary>What one condition alone asks for.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="model">Which of the sampler's networks is asked.</param>
    public static Composition Of(ICondition condition, int model = 0) => new([new CompositionRow(condition, 1, model)]);

    /// <summary>What a network predicts when nothing is asked of it: where sums of conditions begin.</summary>
    /// <param name="model">Which of the sampler's networks is asked.</param>
    public static Composition Unconditional(int model = 0) => Of(new NullCondition(), model);

    /// <summary>
    /// The weighted sum of the parts. Weights of predictions of one image sum to 1; those of a product of energies need not.
    /// </summary>
    public static Composition Sum(params IEnumerable<(Composition Part, float Weight)> parts) =>
        new(parts.SelectMany(p => p.Part.Scaled(p.Weight)));

    /// <summary>The mean of the parts, as Decomp Diffusion puts an image together from its factors.</summary>
    public static Composition Mean(IReadOnlyList<Composition> parts) => Sum(parts.Select(p => (p, 1f / parts.Count)));

    /// <summary>Classifier-free guidance: u + s (c - u), where c is this prediction and u that of the null condition.</summary>
    /// <param name="scale">s; 1 changes nothing.</param>
    public Composition Guided(float scale) => scale == 1 ? this : new([.. Scaled(scale), .. Null(1 - scale)]);

    /// <summary>And also <paramref name="other"/>: adds s (c - u), with u the null prediction of the networks that predict c.</summary>
    /// <param name="other">c.</param>
    /// <param name="scale">s.</param>
    public Composition And(Composition other, float scale) => new([.. Rows, .. other.Scaled(scale), .. other.Null(-scale)]);

    /// <summary>But not <paramref name="other"/>: takes s (c - u) away.</summary>
    /// <param name="other">c.</param>
    /// <param name="scale">s.</param>
    public Composition Not(Composition other, float scale) => And(other, -scale);

    private static bool IsNull(CompositionRow row) => row.Condition is NullCondition;

    private IEnumerable<CompositionRow> Scaled(float factor) => Rows.Select(r => r with { Weight = factor * r.Weight });

    // The same mixture of networks with nothing asked of them.
    private IEnumerable<CompositionRow> Null(float factor) => Rows.GroupBy(r => r.Model)
        .Select(m => new CompositionRow(new NullCondition(), factor * m.Sum(r => r.Weight), m.Key));
}
