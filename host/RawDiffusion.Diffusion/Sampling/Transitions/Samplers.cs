using RawDiffusion.Diffusion.Schedules;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>The transitions from noise to image, by name.</summary>
public static class Samplers
{
    /// <summary>All of them, the usual one first.</summary>
    public static IReadOnlyList<NamedSampler> All { get; } =
    [
        new("ddim", UsualSteps: 50, TakesEta: true, (process, eta) => new Ddim(process, eta)),
        new("ddpm", UsualSteps: null, TakesEta: false, (process, _) => new Ddpm(process)),
    ];

    /// <summary>The sampler of a name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static NamedSampler Named(string name) => All.FirstOrDefault(s => s.Name == name) ?? throw new ArgumentException(
        $"expected a sampler ({string.Join(", ", All.Select(s => s.Name))}), found '{name}'");
}

/// <summary>A transition from noise to image that can be chosen by name.</summary>
/// <param name="Name">As users write it.</param>
/// <param name="UsualSteps">How many timesteps of the process it visits unless it is told; null for all.</param>
/// <param name="TakesEta">Whether it adds as much noise as an eta says.</param>
/// <param name="Make">Makes it for a process and an eta.</param>
public sealed record NamedSampler(string Name, int? UsualSteps, bool TakesEta, Func<GaussianDiffusion, double, Transition> Make)
{
    /// <summary>The transition for a process.</summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="eta">Noise that is added at each step, where the sampler takes one; else 0.</param>
    /// <exception cref="ArgumentException">Eta is no value that the sampler takes.</exception>
    public Transition For(GaussianDiffusion diffusion, double eta = 0) => eta == 0 || TakesEta
        ? Make(diffusion, eta)
        : throw new ArgumentException($"eta {eta} has no meaning for the {Name} sampler: leave it out or use one that takes it ("
            + $"{string.Join(", ", Samplers.All.Where(s => s.TakesEta).Select(s => s.Name))})");
}
