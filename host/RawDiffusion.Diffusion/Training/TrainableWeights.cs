using System.Runtime.InteropServices;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A network's tensors as states of a training graph: all parameters, their running means and their average in one state
/// <see cref="StateName"/> [4, P] (<see cref="Adam"/>), running statistics of batch norms in states of their own names.
/// </summary>
public sealed class TrainableWeights : IWeights
{
    /// <summary>Name of the state that holds the parameters.</summary>
    public const string StateName = "parameters";

    private readonly Dictionary<string, Parameter> parameters;
    private readonly Dictionary<(Graph, string), Value> values = [];

    /// <summary>Plans the parameters of a network.</summary>
    /// <param name="tensors">What it declares.</param>
    public TrainableWeights(IReadOnlyList<NetworkTensor> tensors)
    {
        Tensors = tensors;
        Layout = new ParameterLayout(tensors.Where(t => t.Kind == TensorKind.Parameter).Select(t => (t.Name, t.Layout)));
        parameters = Layout.Parameters.ToDictionary(p => p.Name);
    }

    /// <summary>What a checkpoint of the network holds.</summary>
    public IReadOnlyList<NetworkTensor> Tensors { get; }

    /// <summary>Places of the parameters.</summary>
    public ParameterLayout Layout { get; }

    /// <summary>The parameters, in the layout's order.</summary>
    public IEnumerable<NetworkTensor> Parameters => Tensors.Where(t => t.Kind == TensorKind.Parameter);

    /// <summary>Running statistics, by the names of their states; not the counters of batches.</summary>
    public IEnumerable<NetworkTensor> Statistics => Tensors.Where(t => t.Kind == TensorKind.Statistic);

    /// <summary>The state [4, P] of a graph.</summary>
    public Value State(Graph g) => Once(g, StateName, () => g.State(StateName, [Adam.Rows, Layout.Shape[0]]));

    /// <inheritdoc/>
    public Value Tensor(Graph g, NetworkTensor tensor) => Once(g, tensor.Name,
        () => parameters.TryGetValue(tensor.Name, out Parameter? parameter)
            ? g.View(State(g), parameter.Shape, parameter.Offset, tensor.Name)
            : g.State(tensor.Name, tensor.Layout));

    /// <summary>Place of a parameter's first element in the layout.</summary>
    public long OffsetOf(NetworkTensor parameter) => parameters[parameter.Name].Offset;

    /// <summary>One parameter as a checkpoint holds it; its elements are read when the tensor is.</summary>
    /// <param name="parameter">Which one.</param>
    /// <param name="read">Reads elements from a place in the layout on.</param>
    public Tensor TensorOf(NetworkTensor parameter, PartReader read) => new(TensorType.Float32, parameter.Shape, bytes =>
    {
        Span<float> values = MemoryMarshal.Cast<byte, float>(bytes);
        read(OffsetOf(parameter), values);
        parameter.ToCheckpoint(values);
    });

    private Value Once(Graph g, string name, Func<Value> make) => values.TryGetValue((g, name), out Value? value) ? value
        : values[(g, name)] = make();
}

/// <summary>Reads elements of an array that may be elsewhere.</summary>
/// <param name="first">The first element.</param>
/// <param name="destination">Receives it and those that follow.</param>
public delegate void PartReader(long first, Span<float> destination);
