using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// Where a network's tensors come from: a checkpoint's constants, or the states of a training step. Names are the
/// checkpoint's, layouts the engine's.
/// </summary>
public interface INetworkWeights
{
    /// <summary>A tensor as it is: biases, norms, running statistics, linear layers [O, I].</summary>
    Value Plain(Graph g, string name);

    /// <summary>A convolution's weight [O, I, K, K], or [O, I, 1], as [O, K, K, I].</summary>
    Value Conv(Graph g, string name);

    /// <summary>A linear layer's weight [O, C * H * W] as [O, H * W * C].</summary>
    Value Flattened(Graph g, string name, int channels);
}
