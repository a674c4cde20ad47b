using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// Turns a node of one operator into launches: chooses kernel, tiles and geometry. Found by reflection: a new operator is
/// a new file, no more.
/// </summary>
internal abstract class OperatorLaunch
{
    private static readonly Dictionary<Type, OperatorLaunch> ByOperator = typeof(OperatorLaunch).Assembly.GetTypes()
        .Where(t => t.IsSubclassOf(typeof(OperatorLaunch)) && !t.IsAbstract)
        .Select(t => (OperatorLaunch)Activator.CreateInstance(t)!)
        .ToDictionary(k => k.OperatorType);

    protected abstract Type OperatorType { get; }

    /// <summary>The launches' maker for a node's operator.</summary>
    /// <exception cref="GraphException">There is none.</exception>
    public static OperatorLaunch For(Node node) => ByOperator.TryGetValue(node.Operator.GetType(), out OperatorLaunch? launch)
        ? launch
        : throw new GraphException($"{node.Name}: the CUDA device has no kernel for {node.Operator.Name}");

    /// <summary>Adds the node's launches to the context, in order.</summary>
    public abstract void Prepare(Node node, LaunchContext context);
}

/// <summary>The launches of one operator.</summary>
internal abstract class OperatorLaunch<TOperator> : OperatorLaunch
    where TOperator : Operator
{
    protected sealed override Type OperatorType => typeof(TOperator);

    public sealed override void Prepare(Node node, LaunchContext context) => Prepare(node, (TOperator)node.Operator, context);

    /// <inheritdoc cref="OperatorLaunch.Prepare(Node, LaunchContext)"/>
    protected abstract void Prepare(Node node, TOperator op, LaunchContext context);
}
