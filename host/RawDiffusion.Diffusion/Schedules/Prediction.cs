namespace RawDiffusion.Diffusion.Schedules;

/// <summary>What a network's output means.</summary>
public enum Prediction
{
    /// <summary>The clean image x_0: Decomp Diffusion's choice (<c>predict_xstart=True</c>).</summary>
    XStart,
    /// <summary>The noise eps in x_t = sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) eps.</summary>
    Epsilon,
    /// <summary>v = sqrt(alpha-bar) eps - sqrt(1 - alpha-bar) x_0 (Salimans and Ho 2022, section 4).</summary>
    V,
}

/// <summary>Predictions by the names that settings and files have for them.</summary>
public static class Predictions
{
    private static readonly Dictionary<string, Prediction> ByName = new()
    {
        ["xstart"] = Prediction.XStart,
        ["eps"] = Prediction.Epsilon,
        ["v"] = Prediction.V,
    };

    /// <summary>All names, Decomp Diffusion's choice first.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. ByName.Keys];

    /// <summary>The prediction of a name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static Prediction Named(string name) => ByName.TryGetValue(name, out Prediction prediction) ? prediction
        : throw new ArgumentException($"expected a prediction ({string.Join(", ", Names)}), found '{name}'");

    /// <summary>The name of a prediction.</summary>
    public static string Name(this Prediction prediction) => ByName.Single(p => p.Value == prediction).Key;
}
