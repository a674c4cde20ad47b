using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// Nodes that read the same tensor and become one launch: the linear layers that turn one embedding into those of all
/// residual blocks, and the two pools of a block that halves its input. The first of them in the graph leads; it writes
/// the outputs of all.
/// </summary>
internal sealed class Siblings
{
    private readonly Dictionary<Node, List<Node>> groups = [];

    /// <summary>Finds the groups of a graph.</summary>
    public static Siblings Of(Graph graph)
    {
        var siblings = new Siblings();
        var index = new Dictionary<Node, int>();
        foreach (Node node in graph.Nodes) index.Add(node, index.Count);
        foreach (IGrouping<Value, Node> readers in graph.Nodes.Where(n => n.Operator is Linear or AvgPool2d && n.Output.Shape.Count > 0)
            .GroupBy(Shared))
        {
            foreach (IGrouping<Operator, Node> alike in readers.GroupBy(n => n.Operator is AvgPool2d ? new AvgPool2d() : n.Operator))
            {
                Node leader = alike.First();
                List<Node> group = [leader,
                    .. alike.Skip(1).Where(n => Others(n).All(v => v.Producer is not { } p || index[p] < index[leader]))];
                if (leader.Operator is Linear)
                    group.RemoveAll(n => Others(n).Any(v => !v.IsConstant));
                if (leader.Operator is AvgPool2d
                    && (group.Count != 2 || AvgPool2dLaunch.IsPlain(group[0]) == AvgPool2dLaunch.IsPlain(group[1])))
                {
                    continue;
                }
                if (group.Count > 1 && group[0] == leader) siblings.groups.Add(leader, group);
            }
        }
        return siblings;
    }

    /// <summary>The tensor that a node reads with its siblings.</summary>
    public static Value Shared(Node node) => node.Operator is Linear ? node.Input(Linear.X) : node.Input(AvgPool2d.X);

    /// <summary>The nodes that need no launch, each with the node that writes their output.</summary>
    public IEnumerable<(Node Node, Node Leader)> Followers => groups.SelectMany(g => g.Value.Skip(1).Select(n => (n, g.Key)));

    /// <summary>The nodes whose outputs a node's launch writes: itself, then its followers.</summary>
    public IReadOnlyList<Node> Led(Node node) => groups.TryGetValue(node, out List<Node>? group) ? group : [node];

    private static IEnumerable<Value> Others(Node node) => node.Inputs.OfType<Value>().Where(v => v != Shared(node));
}
