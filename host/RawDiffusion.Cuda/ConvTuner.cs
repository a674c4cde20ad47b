using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda;

/// <summary>
/// Chooses convolutions' tiles by timing those that <see cref="ConvTiling"/> ranks first, each alone, as often as it takes
/// for the clock to settle. Choices are kept in a file, so that a shape is timed once on a kind of device.
/// </summary>
/// <param name="context">Where to time.</param>
/// <param name="file">Where choices are kept; null keeps them in memory alone.</param>
/// <param name="tell">Told before work that takes long.</param>
internal sealed class ConvTuner(CudaContext context, string? file, Action<string>? tell = null)
{
    private const int Candidates = 6, Runs = 5;
    private static readonly CompileOptions Alone = new() { Fuse = false, FoldConstants = false };
    private readonly Dictionary<string, ConvTile> choices = Read(file);

    /// <summary>The file beside the user's compiled kernels.</summary>
    public static string? UserFile => KernelCache.OfUser is { } cache ? Path.Combine(cache.Folder, "tiles.txt") : null;

    /// <summary>Gives the fastest tile of each convolution of a graph.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="options">How it will be compiled.</param>
    public Func<Node, ConvShape, ConvTile> TilesFor(PreparedGraph graph, CompileOptions options)
    {
        bool compiled = false;
        return (node, shape) =>
        {
            string key = KeyOf(node, shape);
            if (Known(key, shape) is { } known) return known;
            if (!compiled) Compile(graph, options);
            compiled = true;
            ConvTile best = Tried(shape).MinBy(tile => Seconds(node, tile));
            choices[key] = best;
            Keep(key, best);
            return best;
        };
    }

    // Compiles side by side what will be asked for one by one: the graph's kernels, and all that are timed. A driver that does nothing
    // finds out which those are.
    private void Compile(PreparedGraph graph, CompileOptions options)
    {
        var kernels = new KernelList();
        using var idle = new CudaContext(new IdleDriver(context.Driver.Device, context.Driver.Target), new KernelLister(kernels),
            context.Precision, specialize: true, context.Ranks is { } ranks ? new IdleRanks(ranks.Size) : null);
        var unknown = new Dictionary<string, (Node Node, ConvShape Shape)>();
        new CudaExecutable(idle, graph, options, Choose).Dispose();
        foreach ((Node node, ConvShape shape) in unknown.Values)
            foreach (ConvTile tile in Tried(shape)) new CudaExecutable(idle, GraphOf(node), Alone, (_, _) => tile).Dispose();
        KernelVariant[] variants = [.. kernels.Entries.Select(e => e.Variant)];
        tell?.Invoke($"{context.Driver.Device.Name}: compiling {variants.Length} kernels, then timing tiles of {unknown.Count} "
            + $"convolution{(unknown.Count == 1 ? "" : "s")}; once for a network and a batch size");
        context.Load(variants);

        ConvTile Choose(Node node, ConvShape shape)
        {
            string key = KeyOf(node, shape);
            if (Known(key, shape) is { } known) return known;
            unknown[key] = (node, shape);
            return Tried(shape).First();
        }
    }

    private string KeyOf(Node node, ConvShape shape)
    {
        string inputs = string.Concat(node.Inputs.Select(i => i is null ? '-' : '+'));
        return $"{context.Driver.Device.Name}; {context.Precision}; {node.Operator}; {inputs}; {shape}";
    }

    // A file of another version may name a tile that the kernel no longer takes.
    private ConvTile? Known(string key, ConvShape shape) =>
        choices.TryGetValue(key, out ConvTile known) && ConvTiling.Ranked(shape, context.Driver.Device).Contains(known) ? known : null;

    private IEnumerable<ConvTile> Tried(ConvShape shape) => ConvTiling.Ranked(shape, context.Driver.Device).Take(Candidates);

    private double Seconds(Node node, ConvTile tile)
    {
        PreparedGraph g = GraphOf(node);
        using var executable = new CudaExecutable(context, g, Alone, (_, _) => tile);
        foreach (Value input in g.Graph.Inputs.Values) executable.Write(input.Name, new float[input.Shape.Count]);
        double Once() => executable.Profile().Where(k => k.Kernel == "conv2d_forward").Sum(k => k.Seconds);
        Once();
        return Enumerable.Range(0, Runs).Min(_ => Once());
    }

    // The node alone, which needs no passes; activations come from and go to a copy, so that they are stored as in the middle of a network.
    private static PreparedGraph GraphOf(Node node)
    {
        var g = new Graph();
        Value Stored(Value v) => v.Shape.Rank == 4 ? g.Apply(new Activate(Activation.None), [v], v.Name + ".copy") : v;
        Value?[] inputs = [.. node.Inputs.Select((v, i) => v is null ? null
            : v.IsConstant ? g.Constant($"in{i}", v.Shape, data => data.Clear()) : Stored(g.Input($"in{i}", v.Shape)))];
        g.Output("y", Stored(g.Apply(node.Operator, inputs)));
        return new PreparedGraph(g);
    }

    private static Dictionary<string, ConvTile> Read(string? file)
    {
        var choices = new Dictionary<string, ConvTile>();
        try
        {
            foreach (string line in file is not null && File.Exists(file) ? File.ReadAllLines(file) : [])
            {
                int end = line.LastIndexOf(" = ", StringComparison.Ordinal);
                if (end > 0 && ConvTile.Parse(line[(end + 3)..]) is { } tile) choices[line[..end]] = tile;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Timed again: a cache that cannot be read costs time, not results.
        }
        return choices;
    }

    private void Keep(string key, ConvTile tile)
    {
        if (file is null) return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.AppendAllLines(file, [$"{key} = {tile}"]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // As above.
        }
    }

    private sealed record IdleRanks(int Size) : IDeviceRanks
    {
        public string Description => "nowhere";

        public void StartAllReduce(ulong data, int count, nint stream) { }

        public void Wait(ulong data, nint stream) { }

        public void AllGather(ulong source, ulong destination, int count, nint stream) { }

        public void Dispose() { }
    }
}
