using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Conditioning;

/// <summary>Nothing is asked of the row: what the network was trained to read then is its own affair.</summary>
public sealed record NullCondition : ICondition
{
    /// <inheritdoc/>
    public void Write(IDenoiser network, ConditionInput input, Span<float> destination) => network.WriteNull(input, destination);
}
