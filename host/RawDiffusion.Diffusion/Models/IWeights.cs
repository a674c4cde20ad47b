using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// Where a network's tensors come from: a checkpoint's constants (<see cref="CheckpointWeights"/>), the states of a training step
/// (<see cref="Training.TrainableWeights"/>), or nowhere, where they are only listed (<see cref="Manifest"/>). A network declares each
/// tensor where it uses it, mostly by the methods of <see cref="Layers"/>.
/// </summary>
public interface IWeights
{
    /// <summary>A tensor in the engine's layout.</summary>
    /// <param name="g">Graph that reads it.</param>
    /// <param name="tensor">What it is.</param>
    Value Tensor(Graph g, NetworkTensor tensor);

    /// <summary>Declares a tensor that checkpoints hold and no graph reads.</summary>
    /// <param name="tensor">What it is.</param>
    void Unread(NetworkTensor tensor)
    {
    }
}
