using System.Runtime.InteropServices;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A network's tensors as states of a training graph: all parameters, their running means and their average in one state
/// <see cref="StateName"/> [4, P] (<see cref="Adam"/>), running statistics of batch norms in states of their own names.
/// </summary>
public sealed class TrainableWeights : INetworkWeights
{
    /// <summary>Name of the state that holds the parameters.</summary>
    public const string StateName = "parameters";

    private readonly Dictionary<string, Parameter> parameters;
    private readonly Dictionary<(Graph, string), Value> values = [];

    /// <summary>Plans the parameters of a network.</summary>
    public TrainableWeights(UNetConfig config)
    {
        Entries = [.. StateDict.Of(config)];
        Places = Entries.ToDictionary(e => e.Name, e => WeightLayout.Of(config, e));
        Layout = new ParameterLayout(Entries.Where(e => !e.IsBuffer).Select(e => (e.Name, Places[e.Name].Shape)));
        parameters = Layout.Parameters.ToDictionary(p => p.Name);
    }

    /// <summary>What a checkpoint of the network holds.</summary>
    public IReadOnlyList<StateDictEntry> Entries { get; }

    /// <summary>Places of the parameters.</summary>
    public ParameterLayout Layout { get; }

    /// <summary>Running statistics, by the names of their states; not the counters of batches.</summary>
    public IEnumerable<StateDictEntry> Statistics => Entries.Where(e => e.IsBuffer && e.Shape.Count > 0);

    private IReadOnlyDictionary<string, WeightLayout.Place> Places { get; }

    /// <summary>The state [4, P] of a graph.</summary>
    public Value State(Graph g) => Once(g, StateName, () => g.State(StateName, [Adam.Rows, Layout.Shape[0]]));

    /// <summary>All parameters of a graph in the layout's order, as views of its state.</summary>
    public IReadOnlyList<Value> Parameters(Graph g) => [.. Layout.Parameters.Select(p => Plain(g, p.Name))];

    /// <inheritdoc/>
    public Value Plain(Graph g, string name) => Once(g, name, () => parameters.TryGetValue(name, out Parameter? parameter)
        ? g.View(State(g), parameter.Shape, parameter.Offset, name)
        : g.State(name, Places[name].Shape));

    /// <inheritdoc/>
    public Value Conv(Graph g, string name) => Plain(g, name);

    /// <inheritdoc/>
    public Value Flattened(Graph g, string name, int channels) => Plain(g, name);

    /// <summary>The parameters of a checkpoint, in the layout.</summary>
    /// <returns>[P].</returns>
    /// <exception cref="KeyNotFoundException">A tensor is missing.</exception>
    public float[] Read(TensorFile file)
    {
        float[] row = new float[Layout.Count];
        foreach (Parameter parameter in Layout.Parameters)
            Read(file[parameter.Name], parameter, row.AsSpan((int)parameter.Offset, (int)parameter.Shape.Count));
        return row;
    }

    /// <summary>One parameter of a checkpoint, in the engine's layout.</summary>
    /// <param name="tensor">In PyTorch's layout.</param>
    /// <param name="parameter">Which one it is.</param>
    /// <param name="values">Receives its elements.</param>
    public void Read(Tensor tensor, Parameter parameter, Span<float> values)
    {
        tensor.CopyTo(values);
        WeightLayout.Place place = Places[parameter.Name];
        WeightLayout.Transpose(values, place.Rows, place.A, place.B);
    }

    /// <summary>One parameter as a checkpoint holds it, in PyTorch's layout; its elements are read when the tensor is.</summary>
    /// <param name="entry">Which one.</param>
    /// <param name="read">Reads elements from a place in the layout on.</param>
    public Tensor TensorOf(StateDictEntry entry, PartReader read)
    {
        (Parameter parameter, WeightLayout.Place place) = (parameters[entry.Name], Places[entry.Name]);
        return new Tensor(TensorType.Float32, entry.Shape, bytes =>
        {
            Span<float> values = MemoryMarshal.Cast<byte, float>(bytes);
            read(parameter.Offset, values);
            WeightLayout.Transpose(values, place.Rows, place.B, place.A);
        });
    }

    /// <summary>A checkpoint's tensors, in PyTorch's layouts and order.</summary>
    /// <param name="row">Parameters, or their average, in the layout [P]; kept.</param>
    /// <param name="statistics">Running statistics by name.</param>
    /// <param name="batches">Batches that each batch norm has seen.</param>
    public IReadOnlyList<KeyValuePair<string, Tensor>> Tensors(float[] row, IReadOnlyDictionary<string, float[]> statistics, long batches)
    {
        return [.. Entries.Select(e => KeyValuePair.Create(e.Name, e switch
        {
            { IsBuffer: false } => TensorOf(e, (first, destination) => row.AsSpan((int)first, destination.Length).CopyTo(destination)),
            { Shape.Count: > 0 } => Tensor.FromSingles(e.Shape, statistics[e.Name]),
            _ => Tensor.FromInt64s([], [batches]),
        }))];
    }

    private Value Once(Graph g, string name, Func<Value> make) => values.TryGetValue((g, name), out Value? value) ? value
        : values[(g, name)] = make();
}

/// <summary>Reads elements of an array that may be elsewhere.</summary>
/// <param name="first">The first element.</param>
/// <param name="destination">Receives it and those that follow.</param>
public delegate void PartReader(long first, Span<float> destination);
