using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Conditioning;

/// <summary>The factor of an image that an encoder found.</summary>
/// <param name="Latent">[E / 2].</param>
public sealed record LatentCondition(ReadOnlyMemory<float> Latent) : ICondition
{
    /// <summary>Name of the input that takes it.</summary>
    public const string Input = "latents";

    /// <inheritdoc/>
    public void Write(IDenoiser network, ConditionInput input, Span<float> destination)
    {
        if (input.Name != Input)
            throw new ArgumentException($"a latent is written to an input named '{Input}', but the network asks for '{input.Name}'");
        if (Latent.Length != destination.Length)
            throw new ArgumentException($"expected a latent of {destination.Length} numbers for the network, found {Latent.Length}");
        Latent.Span.CopyTo(destination);
    }
}
