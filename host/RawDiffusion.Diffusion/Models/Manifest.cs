using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>The tensors of a network, listed by building its graph once.</summary>
public static class Manifest
{
    /// <summary>The tensors that a network declares, in that order.</summary>
    /// <param name="build">Appends the network to the graph, with these weights; the graph is not run.</param>
    public static IReadOnlyList<NetworkTensor> Of(Action<Graph, IWeights> build)
    {
        var recorder = new Recorder();
        build(new Graph(), recorder);
        return recorder.Declared;
    }

    private sealed class Recorder : IWeights
    {
        private readonly HashSet<string> names = new(StringComparer.Ordinal);
        private readonly List<NetworkTensor> declared = [];

        public IReadOnlyList<NetworkTensor> Declared => declared;

        public Value Tensor(Graph g, NetworkTensor tensor)
        {
            Unread(tensor);
            return g.Constant(tensor.Name, tensor.Layout, _ => { });
        }

        // Layers that share a tensor declare it more than once.
        public void Unread(NetworkTensor tensor)
        {
            if (names.Add(tensor.Name)) declared.Add(tensor);
        }
    }
}
