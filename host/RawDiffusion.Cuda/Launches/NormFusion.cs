using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// Statistics of a tensor [N, H, W, C] as a convolution leaves them: for each tile of pixels mean and M2 of each channel.
/// </summary>
/// <param name="Partials">[N, Tiles, 2, C] float32: mean, then the sum of squared deviations from it.</param>
/// <param name="Counts">[Tiles] float32: pixels of each tile.</param>
/// <param name="Tiles">Tiles of an image.</param>
internal sealed record ChannelStatistics(DeviceRange Partials, DeviceRange Counts, int Tiles);

/// <summary>
/// Group norms whose statistics the convolutions before them gather while they store: the convolution that computes
/// <c>x</c> also finishes the <see cref="GroupNormAffine"/> that reads it, and no kernel reads the tensor again for it. A
/// second tensor <c>x2</c> (a skip connection) must come from an earlier convolution, which leaves its partial statistics.
/// </summary>
internal sealed class NormFusion
{
    private readonly Dictionary<Node, Node> finishes = [];
    private readonly Dictionary<Value, ChannelStatistics> statistics = [];
    private readonly HashSet<Value> wanted = [];

    /// <summary>Finds the norms of a graph that can be finished early.</summary>
    /// <param name="graph">The graph after all passes.</param>
    /// <param name="writtenBy">Which node writes a value, where that is not its producer.</param>
    public static NormFusion Of(Graph graph, IReadOnlyDictionary<Value, Node> writtenBy)
    {
        var fusion = new NormFusion();
        var index = new Dictionary<Node, int>();
        foreach (Node node in graph.Nodes) index.Add(node, index.Count);
        int Ready(Value? value)
        {
            // A view is there as soon as what it is a view of.
            Value? root = value?.Viewed.Root;
            return root?.Producer is not { } producer ? -1 : index[writtenBy.GetValueOrDefault(root, producer)];
        }
        foreach (Node norm in graph.Nodes)
        {
            if (norm.Operator is not GroupNormAffine || norm.Output.Shape.Count == 0) continue;
            Value? x2 = norm.Inputs[GroupNormAffine.X2];
            if (norm.Input(GroupNormAffine.X).Producer is not { Operator: Conv2d } conv || fusion.finishes.ContainsKey(conv)) continue;
            if (x2 is not null && (x2.Producer is not { Operator: Conv2d } || x2 == norm.Input(GroupNormAffine.X))) continue;
            Value?[] others = [.. norm.Inputs.Skip(GroupNormAffine.Gamma)];
            if (others.Any(v => Ready(v) >= index[conv])) continue;
            fusion.finishes.Add(conv, norm);
            fusion.wanted.Add(norm.Input(GroupNormAffine.X));
            if (x2 is not null) fusion.wanted.Add(x2);
        }
        return fusion;
    }

    /// <summary>The norms that need no launch, each with the convolution that writes their output.</summary>
    public IEnumerable<(Node Norm, Node Conv)> Finished => finishes.Select(f => (f.Value, f.Key));

    /// <summary>Whether a convolution's output needs statistics: its own norm's, or those of a later one.</summary>
    public bool Wants(Value output) => wanted.Contains(output);

    /// <summary>The <see cref="GroupNormAffine"/> that a convolution finishes, or null.</summary>
    public Node? FinishedBy(Node conv) => finishes.GetValueOrDefault(conv);

    /// <summary>Says where a convolution leaves its output's statistics; it does this while it prepares.</summary>
    public void Provide(Value output, ChannelStatistics partials) => statistics.Add(output, partials);

    /// <summary>Statistics of a tensor whose convolution was prepared before.</summary>
    public ChannelStatistics Of(Value value) => statistics[value];
}
