namespace RawDiffusion.Engine;

/// <summary>
/// A computation as a list of nodes in execution order, each value defined once. Builder methods read like the
/// mathematics and stand in the operators' files, see <see cref="Operators.GraphBuilder"/>.
/// </summary>
public sealed class Graph
{
    private readonly List<Value> values = [];
    private readonly List<Node> nodes = [];
    private readonly List<(Value State, Value Next)> updates = [];
    private readonly Dictionary<string, Value> inputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Value> outputs = new(StringComparer.Ordinal);
    private string scope = "";

    /// <summary>All values, each after those it is computed from.</summary>
    public IReadOnlyList<Value> Values => values;

    /// <summary>All nodes in execution order.</summary>
    public IReadOnlyList<Node> Nodes => nodes;

    /// <summary>What each state becomes at the end of a run.</summary>
    public IReadOnlyList<(Value State, Value Next)> Updates => updates;

    /// <summary>Inputs and states by name: what a caller may write.</summary>
    public IReadOnlyDictionary<string, Value> Inputs => inputs;

    /// <summary>Named outputs: what a caller may read.</summary>
    public IReadOnlyDictionary<string, Value> Outputs => outputs;

    /// <summary>Sum over all nodes.</summary>
    public Cost Cost => nodes.Aggregate(new Cost(), (sum, node) => sum + node.Cost);

    /// <summary>A value that the caller writes before a run.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Value Input(string name, Shape shape, DType dtype = DType.F32) =>
        Named(Define(ValueKind.Input, name, shape, dtype, null, null));

    /// <summary>A value that lives from run to run, zero at first unless <paramref name="initial"/> fills it.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Value State(string name, Shape shape, DType dtype = DType.F32, ConstantReader? initial = null) =>
        Named(Define(ValueKind.State, name, shape, dtype, null, initial));

    /// <summary>A fixed value, read from its source when the graph is compiled.</summary>
    public Value Constant(string name, Shape shape, ConstantReader read) =>
        Define(ValueKind.Constant, name, shape, DType.F32, null, read);

    /// <summary>A fixed value from an array.</summary>
    /// <exception cref="GraphException">The array's length is not the shape's product.</exception>
    public Value Constant(string name, Shape shape, float[] data)
    {
        if (data.Length != shape.Count) throw new GraphException($"constant {name} {shape} got {data.Length} elements");
        return Constant(name, shape, destination => data.CopyTo(destination));
    }

    /// <summary>Declares what a state becomes at the end of a run.</summary>
    /// <exception cref="GraphException">Not a state, already assigned, or of another shape or type.</exception>
    public void Assign(Value state, Value next)
    {
        RequireOwn(state, "state");
        RequireOwn(next, $"next value of {state.Name}");
        if (state.Kind != ValueKind.State) throw new GraphException($"only a state can be assigned, not {state}");
        if (state.Shape != next.Shape || state.DType != next.DType) throw new GraphException($"state {state} cannot become {next}");
        if (updates.Any(u => u.State == state)) throw new GraphException($"state {state} is assigned twice");
        updates.Add((state, next));
    }

    /// <summary>Makes a value readable under a name.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public void Output(string name, Value value)
    {
        RequireOwn(value, $"output '{name}'");
        if (!outputs.TryAdd(name, value)) throw new GraphException($"there are two outputs named '{name}'");
    }

    /// <summary>The input or state that a caller writes whole.</summary>
    /// <exception cref="GraphException">No such name, another element count, or another type.</exception>
    public Value Writable(string name, long count, DType dtype) => Whole(inputs, name, count, dtype);

    /// <summary>The input or state of float32 of which a caller writes a part.</summary>
    /// <exception cref="GraphException">No such name, or it has no such elements.</exception>
    public Value WritablePart(string name, long first, long count) => Part(inputs, name, first, count);

    /// <summary>The output, input or state of float32 that a caller reads whole.</summary>
    /// <exception cref="GraphException">No such name, another element count, or another type.</exception>
    public Value Readable(string name, long count) => Whole(Readables(name), name, count, DType.F32);

    /// <summary>The output, input or state of float32 of which a caller reads a part.</summary>
    /// <exception cref="GraphException">No such name, or it has no such elements.</exception>
    public Value ReadablePart(string name, long first, long count) => Part(Readables(name), name, first, count);

    /// <summary>Appends a node: the builder methods call this.</summary>
    /// <param name="op">Operator and attributes.</param>
    /// <param name="inputs">Inputs by position, null where absent; optional ones at the end may be left out.</param>
    /// <param name="name">Name within the current scope; the operator's by default.</param>
    /// <exception cref="GraphException">Shapes disagree.</exception>
    public Value Apply(Operator op, ReadOnlySpan<Value?> inputs, string? name = null)
    {
        string full = scope + (name ?? op.Name);
        if (inputs.Length > op.Arity)
            throw new GraphException($"{full} ({op.Name}): takes {op.Arity} input{(op.Arity == 1 ? "" : "s")}, found {inputs.Length}");
        // Optional inputs at the end may be left out here; a node has them all.
        var all = new Value?[op.Arity];
        inputs.CopyTo(all);
        var node = new Node(full, op, all);
        foreach (Value? input in inputs)
        {
            if (input is not null) RequireOwn(input, full);
        }
        Shape shape;
        try
        {
            shape = op.Infer(node.Inputs);
        }
        catch (GraphException e)
        {
            throw new GraphException($"{full} ({op.Name}): {e.Message}");
        }
        node.Output = Define(ValueKind.Result, full, shape, op.OutputType, node, null);
        nodes.Add(node);
        return node.Output;
    }

    /// <summary>Prefixes the names of nodes until the result is disposed: <c>using (g.Scope("middle_block.0"))</c>.</summary>
    public IDisposable Scope(string name)
    {
        var restore = new ScopeEnd(this, scope);
        scope += name + ".";
        return restore;
    }

    // An output may have the name of an input, and hides it.
    private Dictionary<string, Value> Readables(string name) => outputs.ContainsKey(name) ? outputs : inputs;

    private static Value Whole(Dictionary<string, Value> values, string name, long count, DType dtype)
    {
        Value value = Find(values, name);
        return value.Shape.Count == count && value.DType == dtype
            ? value
            : throw new GraphException($"{value} of {value.DType} cannot exchange {count} elements of {dtype}");
    }

    private static Value Part(Dictionary<string, Value> values, string name, long first, long count)
    {
        Value value = Find(values, name);
        return value.DType == DType.F32 && first >= 0 && first <= value.Shape.Count - count
            ? value
            : throw new GraphException($"{value} of {value.DType} has no {count} elements of {DType.F32} from {first} on");
    }

    private static Value Find(Dictionary<string, Value> values, string name) => values.TryGetValue(name, out Value? value)
        ? value
        : throw new GraphException($"there is no '{name}' here; there are: {string.Join(", ", values.Keys)}");

    private Value Define(ValueKind kind, string name, Shape shape, DType dtype, Node? producer, ConstantReader? constant)
    {
        var value = new Value(values.Count, kind, name, shape, dtype, producer, constant);
        values.Add(value);
        return value;
    }

    private void RequireOwn(Value value, string reader)
    {
        if (value.Id >= values.Count || values[value.Id] != value) throw new GraphException($"{reader}: {value} belongs to another graph");
    }

    private Value Named(Value value)
    {
        if (!inputs.TryAdd(value.Name, value)) throw new GraphException($"there are two inputs named '{value.Name}'");
        return value;
    }

    private sealed class ScopeEnd(Graph graph, string previous) : IDisposable
    {
        public void Dispose() => graph.scope = previous;
    }
}
