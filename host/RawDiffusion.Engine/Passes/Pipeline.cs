using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>What a device asks of the passes.</summary>
public sealed record DeviceTraits
{
    /// <summary>Whether its convolution computes a 1x1 convolution beside its own (<see cref="Passes.FuseSkip"/>).</summary>
    public bool FuseSkip { get; init; }

    /// <summary>Whether gradients are stored in float16, where those below 6e-8 become zero unless the loss is scaled.</summary>
    public bool NeedsLossScale { get; init; }
}

/// <summary>A graph after all passes.</summary>
/// <param name="Graph">What the device runs.</param>
/// <param name="Watched">Its nodes whose outputs a guarded run looks through; null where none is asked for.</param>
public sealed record PreparedGraph(Graph Graph, IReadOnlySet<Node>? Watched = null);

/// <summary>Which passes a device runs before it plans memory, and in which order.</summary>
public static class Pipeline
{
    /// <summary>Runs the passes.</summary>
    /// <param name="source">The graph as it was built.</param>
    /// <param name="options">Which of them to run.</param>
    /// <param name="device">Computes what depends on constants alone.</param>
    /// <param name="traits">What the device asks for.</param>
    /// <exception cref="GraphException">A training step whose gradients need a scaled loss has none.</exception>
    public static PreparedGraph Apply(Graph source, CompileOptions options, IDevice device, DeviceTraits traits)
    {
        Graph graph = RemoveDead.Apply(source);
        if (traits.NeedsLossScale) RequireLossScale(graph);
        if (options.FoldConstants) graph = FoldConstants.Apply(graph, device);
        if (options.ShareAcrossRows) graph = ShareAcrossRows.Apply(graph);
        if (options.Fuse)
        {
            graph = FuseDenoise.Apply(FuseOnStore.Apply(FuseOnLoad.Apply(FoldBatchNorm.Apply(graph))));
            if (traits.FuseSkip) graph = FuseSkip.Apply(graph);
        }
        if (options.Recompute) graph = Recompute.Apply(graph);
        // Last: passes make new nodes, and the device runs these.
        return new PreparedGraph(graph, options.Guard ? NonFiniteException.Watched(graph) : null);
    }

    private static void RequireLossScale(Graph graph)
    {
        bool Has<TOperator>() => graph.Nodes.Any(n => n.Operator is TOperator);
        if (Has<Adam>() && Has<MseLossGradPrediction>() && !Has<LossScale>())
        {
            throw new GraphException("training in fp16 needs a scaled loss, as gradients below 6e-8 would become zero: expected a "
                + "LossScale in the graph, found none");
        }
    }
}
