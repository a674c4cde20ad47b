using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator;

/// <summary>
/// Graphs. Nodes run in the order in which they were added, which their dependencies always allow; nodes of which neither
/// waits for the other must not touch the same memory unless both only read it, which the first launch checks.
/// </summary>
public sealed unsafe partial class EmulatedDriver
{
    private readonly Dictionary<nint, Graph> graphs = [];
    private readonly Dictionary<nint, Executable> executables = [];

    private sealed record Node(nint Handle, int[] Dependencies)
    {
        public nint Function { get; init; }

        public LaunchGeometry Geometry { get; init; }

        public byte[] Arguments { get; init; } = [];

        public (ulong Destination, ulong Source, long Bytes)? Copy { get; init; }
    }

    private sealed class Graph
    {
        public List<Node> Nodes { get; } = [];

        public Dictionary<nint, int> Indices { get; } = [];
    }

    private sealed class Executable(Node[] nodes)
    {
        public Node[] Nodes => nodes;

        public bool Checked { get; set; }
    }

    /// <inheritdoc/>
    public nint CreateGraph()
    {
        graphs.Add(nextHandle, new());
        return nextHandle++;
    }

    /// <inheritdoc/>
    public void DestroyGraph(nint graph)
    {
        Known(graphs, graph, "cuGraphDestroy", "graph");
        graphs.Remove(graph);
    }

    /// <inheritdoc/>
    public nint AddKernelNode(
        nint graph, ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments)
    {
        Checked(function, geometry, arguments);
        return Add(graph, "cuGraphAddKernelNode", new(nextHandle, Resolve(graph, dependencies, "cuGraphAddKernelNode"))
        {
            Function = function,
            Geometry = geometry,
            Arguments = arguments.ToArray(),
        });
    }

    /// <inheritdoc/>
    public nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes)
    {
        Range(destination, bytes, "cuGraphAddMemcpyNode");
        Range(source, bytes, "cuGraphAddMemcpyNode");
        return Add(graph, "cuGraphAddMemcpyNode",
            new(nextHandle, Resolve(graph, dependencies, "cuGraphAddMemcpyNode")) { Copy = (destination, source, bytes) });
    }

    private int[] Resolve(nint graph, ReadOnlySpan<nint> dependencies, string call)
    {
        Dictionary<nint, int> indices = Known(graphs, graph, call, "graph").Indices;
        int[] resolved = new int[dependencies.Length];
        for (int i = 0; i < resolved.Length; i++)
        {
            if (!indices.TryGetValue(dependencies[i], out resolved[i]))
            {
                throw new CudaException(call, "INVALID_VALUE", $"dependency {dependencies[i]} is not a node of the graph");
            }
        }

        return resolved.Distinct().Count() == resolved.Length
            ? resolved
            : throw new CudaException(call, "INVALID_VALUE", "a dependency is given twice");
    }

    private nint Add(nint graph, string call, Node node)
    {
        Graph known = Known(graphs, graph, call, "graph");
        known.Indices.Add(node.Handle, known.Nodes.Count);
        known.Nodes.Add(node);
        return nextHandle++;
    }

    /// <inheritdoc/>
    public nint InstantiateGraph(nint graph)
    {
        executables.Add(nextHandle, new([.. Known(graphs, graph, "cuGraphInstantiate", "graph").Nodes]));
        return nextHandle++;
    }

    /// <inheritdoc/>
    public void DestroyExecutableGraph(nint executable)
    {
        Known(executables, executable, "cuGraphExecDestroy", "executable graph");
        executables.Remove(executable);
    }

    /// <inheritdoc/>
    public void LaunchGraph(nint executable, nint stream)
    {
        CheckStream(stream, "cuGraphLaunch");
        Executable known = Known(executables, executable, "cuGraphLaunch", "executable graph");
        Node[] nodes = known.Nodes;
        bool[,]? before = options.CheckGraphs && !known.Checked ? Order(nodes) : null;
        var accesses = new GraphAccesses?[nodes.Length];
        double[] done = new double[nodes.Length];
        for (int i = 0; i < nodes.Length; i++)
        {
            Node node = nodes[i];
            accesses[i] = before is not null && HasUnordered(before, i) ? new() : null;
            double start = node.Dependencies.Length == 0 ? 0 : node.Dependencies.Max(d => done[d]);
            if (node.Copy is var (destination, source, bytes))
            {
                CopyOnDevice(destination, source, bytes, accesses[i], "cuGraphLaunch");
                done[i] = start + SecondsOfCopy(bytes);
            }
            else
            {
                Function function = Known(functions, node.Function, "cuGraphLaunch", "a node's function");
                done[i] = start + Run(function.Code, node.Geometry, node.Arguments, accesses[i]);
            }
        }

        if (before is not null)
        {
            ReportRaces(nodes, before, accesses);
            known.Checked = true;
        }

        streams[stream] += nodes.Length == 0 ? 0 : done.Max();
        ThrowNew();
    }

    /// <summary>before[i, j]: node i is done before node j starts.</summary>
    private static bool[,] Order(Node[] nodes)
    {
        bool[,] before = new bool[nodes.Length, nodes.Length];
        for (int j = 0; j < nodes.Length; j++)
        {
            foreach (int d in nodes[j].Dependencies)
            {
                before[d, j] = true;
                for (int i = 0; i < d; i++) before[i, j] |= before[i, d];
            }
        }

        return before;
    }

    private static bool HasUnordered(bool[,] before, int node)
    {
        for (int other = 0; other < before.GetLength(0); other++)
        {
            if (other != node && !before[node, other] && !before[other, node]) return true;
        }

        return false;
    }

    private void ReportRaces(Node[] nodes, bool[,] before, GraphAccesses?[] accesses)
    {
        for (int j = 0; j < nodes.Length; j++)
        {
            for (int i = 0; i < j; i++)
            {
                if (!before[i, j] && accesses[i]?.Conflict(accesses[j]!) is var (allocation, offset))
                {
                    string name = Name(nodes[j]);
                    findings.Add(new(FindingKind.GraphRace, name, new("graph node", j), default, default, allocation.Address + offset,
                        $"graph node {j} ({name}) and node {i} ({Name(nodes[i])}) touch the 256 bytes at "
                        + $"0x{allocation.Address + offset:x}, one of them writing, and neither waits for the other: add a dependency"));
                }
            }
        }

        string Name(Node node) => node.Copy is not null ? "copy" : functions.TryGetValue(node.Function, out Function? function)
            ? function.Code.Name : "kernel";
    }
}
