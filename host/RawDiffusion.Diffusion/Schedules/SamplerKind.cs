namespace RawDiffusion.Diffusion.Schedules;

/// <summary>How a sampler goes from x_t to the next less noisy x.</summary>
public enum SamplerKind
{
    /// <summary>Denoising diffusion implicit models (Song et al. 2020, equation 12), deterministic at eta 0.</summary>
    Ddim,
    /// <summary>Ancestral sampling from p(x_{t-1} | x_t) (Ho et al. 2020, algorithm 2).</summary>
    Ddpm,
}

/// <summary>What the network's output means.</summary>
public enum Prediction
{
    /// <summary>The clean image x_0: Decomp Diffusion's choice (<c>predict_xstart=True</c>).</summary>
    XStart,
    /// <summary>The noise eps in x_t = sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) eps.</summary>
    Epsilon,
}
