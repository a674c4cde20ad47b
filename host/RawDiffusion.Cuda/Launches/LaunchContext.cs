using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda.Launches;

/// <summary>What an operator needs to make its launches: where values lie, how they are stored, memory of its own.</summary>
internal sealed class LaunchContext(DeviceMemory memory, MemoryPlan plan, StoragePolicy storage, NormFusion norms, Siblings siblings,
    Func<Node, ConvShape, ConvTile> tileOf, Precision precision, bool specialize, IDeviceRanks? ranks) : ValueMemory(memory, plan, storage)
{
    private List<DeviceLaunch> launches = [];

    /// <summary>How activations are stored and products computed.</summary>
    public Precision Precision => precision;

    /// <summary>Which convolutions gather the statistics of group norms.</summary>
    public NormFusion Norms => norms;

    /// <summary>The nodes whose outputs a node's launch writes: itself, then its followers.</summary>
    public IReadOnlyList<Node> Led(Node node) => siblings.Led(node);

    /// <summary>The tile with which a convolution is computed.</summary>
    public ConvTile TileOf(Node node, ConvShape shape) => tileOf(node, shape);

    /// <summary>Begins a launch of a kernel.</summary>
    public LaunchBuilder Kernel(string file, string kernel) => new(this, launches, specialize, file, kernel);

    /// <summary>Adds a launch that copies tensors, on any boundaries.</summary>
    public void Copy(Storage format, IReadOnlyList<(DeviceRange Source, DeviceRange Destination)> moves) =>
        LaunchBuilder.Copy(this, launches, specialize, format, moves);

    /// <summary>Adds a launch that copies a value of float32 to another's memory; none where they share it.</summary>
    public void Move(Value from, Value to)
    {
        (DeviceRange source, DeviceRange destination) = (Memory(from), Memory(to));
        if (source != destination) Copy(Storage.F32, [(source, destination)]);
    }

    /// <summary>The processes that run the graph together.</summary>
    /// <exception cref="GraphException">They are not as many as the graph was made for.</exception>
    public IDeviceRanks Ranks(Node node, int expected) => ranks?.Size == expected
        ? ranks
        : throw new GraphException($"{node.Name}: the graph was made for {expected} processes, the device knows of {ranks?.Size ?? 1}");

    /// <summary>Adds an exchange of a value's numbers with other processes; none where it has none.</summary>
    /// <param name="name">For people.</param>
    /// <param name="value">What is exchanged.</param>
    /// <param name="run">Queues the exchange of so many numbers on a stream.</param>
    public void Exchange(string name, Value value, Action<int, nint> run)
    {
        int count = checked((int)value.Shape.Count);
        if (count > 0) launches.Add(new ExchangeLaunch(name, stream => run(count, stream)));
    }

    /// <summary>The launches added since the last call.</summary>
    public List<DeviceLaunch> Take()
    {
        List<DeviceLaunch> taken = launches;
        launches = [];
        return taken;
    }
}
