using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Conditioning;

/// <summary>What a row is asked for, and what that writes to the network's inputs.</summary>
public interface ICondition
{
    /// <summary>Writes a row's part of an input.</summary>
    /// <param name="network">The network that predicts the row.</param>
    /// <param name="input">One of its inputs.</param>
    /// <param name="destination">The row's elements of it.</param>
    /// <exception cref="ArgumentException">The condition says nothing of this input, or not in this shape.</exception>
    void Write(IDenoiser network, ConditionInput input, Span<float> destination);
}
