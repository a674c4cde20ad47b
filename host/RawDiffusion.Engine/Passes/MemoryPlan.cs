using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Where each value lives: one arena in which values whose lifetimes do not overlap share memory. A view lies in its
/// input's memory, what is packed is computed in its place, an operator may write over an input that nobody reads later, and a state's next
/// content is computed in the state's own place where that is safe.
/// </summary>
public sealed class MemoryPlan
{
    // That of device allocations: no two values share a cache line, or what a checker of memory watches as one.
    private const int Alignment = 256;
    private readonly int[] block;
    private readonly long[] within;
    private readonly Dictionary<int, long> offsets = [];
    private readonly List<(Value State, Value Next)> copies = [];
    private readonly List<(Value State, Value Next)> swaps = [];

    private readonly Func<Value, int> elementBytes;

    private MemoryPlan(int values, bool reuse, Func<Value, int> elementBytes)
    {
        block = [.. Enumerable.Range(0, values)];
        within = new long[values];
        IsArena = reuse;
        this.elementBytes = elementBytes;
    }

    /// <summary>Whether values share memory; otherwise each block of memory has one owner.</summary>
    public bool IsArena { get; }

    /// <summary>Size of the arena in bytes.</summary>
    public long ArenaBytes { get; private set; }

    /// <summary>State updates that are not computed in place and have to be copied at the end of a run.</summary>
    public IReadOnlyList<(Value State, Value Next)> Copies => copies;

    /// <summary>
    /// State updates to what another state was before its own update: all of these have to be read before the first
    /// state is written.
    /// </summary>
    public IReadOnlyList<(Value State, Value Next)> Swaps => swaps;

    /// <summary>Offset in the arena, in bytes; constants have none.</summary>
    public long Offset(Value value) => offsets[Block(value.Id)] + within[value.Id];

    /// <summary>Plans a graph.</summary>
    /// <param name="graph">Graph with its nodes in execution order.</param>
    /// <param name="reuse">False gives every value its own memory.</param>
    /// <param name="elementBytes">Bytes of an element of a value on the device; 4 where null.</param>
    /// <param name="writers">Values that another node, earlier than their producer, writes already.</param>
    public static MemoryPlan Of(Graph graph, bool reuse = true, Func<Value, int>? elementBytes = null, IReadOnlyDictionary<Value,
        Node>? writers = null)
    {
        var plan = new MemoryPlan(graph.Values.Count, reuse, elementBytes ?? Bytes);
        int end = graph.Nodes.Count;
        int[] last = new int[graph.Values.Count];
        Array.Fill(last, -1);
        for (int i = 0; i < end; i++)
        {
            foreach (Value? input in graph.Nodes[i].Inputs)
                if (input is not null) last[input.Id] = i;
        }
        foreach (Value output in graph.Outputs.Values) last[output.Id] = end;
        foreach (Value value in graph.Values)
            if (value.Kind is ValueKind.Input or ValueKind.State) last[value.Id] = end;

        Dictionary<Value, Value> inPlaceStates = plan.PlaceUpdates(graph, last, reuse);
        Dictionary<Value, (Node Pack, long Offset)> packed = reuse ? plan.PlacesInPacks(graph) : [];
        var births = new Dictionary<int, int>();
        var deaths = new Dictionary<int, int>();
        var sizes = new Dictionary<int, long>();
        void Live(int id, Value value, int birth, int death)
        {
            births[id] = Math.Min(births.GetValueOrDefault(id, birth), birth);
            deaths[id] = Math.Max(deaths.GetValueOrDefault(id, death), death);
            sizes[id] = Math.Max(sizes.GetValueOrDefault(id), plan.elementBytes(value) * value.Shape.Count);
        }
        foreach (Value value in graph.Inputs.Values) Live(value.Id, value, -1, end);
        for (int i = 0; i < end; i++)
        {
            Node node = graph.Nodes[i];
            Value output = node.Output;
            if (inPlaceStates.TryGetValue(output, out Value? state))
            {
                plan.block[output.Id] = state.Id;
            }
            else if (node.Operator is View view && node.Input(View.X) is { Kind: not ValueKind.Constant } viewed)
            {
                plan.block[output.Id] = plan.Block(viewed.Id);
                plan.within[output.Id] = plan.within[viewed.Id] + view.Offset * plan.elementBytes(output);
            }
            else if (packed.TryGetValue(output, out (Node Pack, long Offset) place))
            {
                plan.block[output.Id] = place.Pack.Output.Id;
                plan.within[output.Id] = place.Offset * plan.elementBytes(output);
                Live(place.Pack.Output.Id, place.Pack.Output, i, Math.Max(IndexOf(graph, place.Pack), last[place.Pack.Output.Id]));
            }
            else if (node.Operator is not Pack && reuse && plan.InPlace(node) is { } input && deaths[plan.Block(input.Id)] == i)
            {
                plan.block[output.Id] = plan.Block(input.Id);
                plan.within[output.Id] = plan.within[input.Id];
            }
            int birth = writers is not null && writers.TryGetValue(output, out Node? writer) ? Math.Min(i, IndexOf(graph, writer)) : i;
            Live(plan.Block(output.Id), output, birth, Math.Max(i, last[output.Id]));

            // A block lives as long as its longest-lived member; readers of a view extend what it is a view of.
            foreach (Value? read in node.Inputs)
                if (read is not null && read.Kind != ValueKind.Constant) Live(plan.Block(read.Id), read, i, Math.Max(i, last[read.Id]));
        }
        plan.Place(births, deaths, sizes, reuse);
        return plan;
    }

    private static int Bytes(Value value) => value.DType switch
    {
        DType.F32 or DType.I32 => 4,
        _ => throw GraphException.Unhandled(value.DType),
    };

    private int Block(int id) => block[id];

    // Results that are packed can be computed where the pack has them: each in the first pack that reads it.
    private Dictionary<Value, (Node Pack, long Offset)> PlacesInPacks(Graph graph)
    {
        var places = new Dictionary<Value, (Node, long)>();
        foreach (Node node in graph.Nodes)
        {
            if (node.Operator is not Pack pack) continue;
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                Value input = node.Input(i);
                if (input is { Kind: ValueKind.Result, Producer.Operator: not (View or Pack) }
                    && elementBytes(input) == elementBytes(node.Output))
                {
                    places.TryAdd(input, (node, pack.Layout.Parameters[i].Offset));
                }
            }
        }
        return places;
    }

    // The input whose place the output may take: results only (the caller owns inputs and states), and the same size.
    private Value? InPlace(Node node) =>
        node.Operator.InPlaceInput is >= 0 and var position && node.Input(position) is { Kind: ValueKind.Result } input
        && input.Shape.Count == node.Output.Shape.Count && elementBytes(input) == elementBytes(node.Output)
        // A kernel promises the compiler that what else it reads is not written.
        && node.Inputs.Count(i => i?.Viewed.Root == input.Viewed.Root) == 1
        // A view of a part may begin anywhere, and devices write vectors.
        && within[input.Id] % Alignment == 0 ? input : null;

    private Dictionary<Value, Value> PlaceUpdates(Graph graph, int[] last, bool reuse)
    {
        var inPlace = new Dictionary<Value, Value>();
        foreach ((Value state, Value next) in graph.Updates)
        {
            int produced = next.Producer is { } producer ? IndexOf(graph, producer) : -1;
            // Readers of a view of the state, and other states that become what it was, read the state too.
            bool Reads(Value? value) => value?.Viewed.Root == state;
            int lastRead = -1;
            for (int i = 0; i < graph.Nodes.Count; i++)
                if (graph.Nodes[i].Inputs.Any(Reads)) lastRead = i;
            bool readAtEnd = graph.Outputs.Values.Any(Reads) || graph.Updates.Any(u => Reads(u.Next));
            bool safe = reuse && produced >= 0 && !readAtEnd && next.Producer!.Operator is not (View or Pack)
                && !inPlace.ContainsKey(next)
                && (lastRead < produced || lastRead == produced && next.Producer!.Operator.InPlaceInput is >= 0 and var p
                    && Reads(next.Producer.Inputs[p]) && next.Producer.Inputs.Count(Reads) == 1);
            if (safe)
            {
                inPlace.Add(next, state);
            }
            else
            {
                Value source = next.Viewed.Root;
                bool swap = source != state && graph.Updates.Any(u => u.State == source);
                (swap ? swaps : copies).Add((state, next));
                last[next.Id] = graph.Nodes.Count;
            }
        }
        return inPlace;
    }

    private static int IndexOf(Graph graph, Node node)
    {
        for (int i = 0; i < graph.Nodes.Count; i++)
            if (graph.Nodes[i] == node) return i;
        throw new InvalidOperationException($"{node.Name} is not in the graph");
    }

    // Largest first, each at the lowest offset that is free during its whole life.
    private void Place(Dictionary<int, int> births, Dictionary<int, int> deaths, Dictionary<int, long> sizes, bool reuse)
    {
        var placed = new List<(long Start, long End, int Birth, int Death)>();
        foreach (int id in sizes.Keys.OrderByDescending(k => sizes[k]).ThenBy(k => k))
        {
            long size = (sizes[id] + Alignment - 1) / Alignment * Alignment;
            long offset = 0;
            foreach ((long start, long stop, int birth, int death) in placed.OrderBy(p => p.Start))
            {
                if (reuse && (birth > deaths[id] || death < births[id])) continue;
                if (start - offset >= size) break;
                offset = Math.Max(offset, stop);
            }
            placed.Add((offset, offset + size, births[id], deaths[id]));
            offsets[id] = offset;
            ArenaBytes = Math.Max(ArenaBytes, offset + size);
        }
    }
}
