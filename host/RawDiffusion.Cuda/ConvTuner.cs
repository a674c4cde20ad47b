using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda;

/// <summary>
/// Chooses convolutions' tiles by timing those that <see cref="ConvTiling"/> ranks first, each alone, as often as it takes
/// for the clock to settle. Choices are kept in a file, so that a shape is timed once on a kind of device.
/// </summary>
/// <param name="device">Where to time.</param>
/// <param name="file">Where choices are kept; null keeps them in memory alone.</param>
internal sealed class ConvTuner(CudaDevice device, string? file)
{
    private const int Candidates = 6, Runs = 5;
    private readonly Dictionary<string, ConvTile> choices = Read(file);

    /// <summary>The file beside the user's compiled kernels.</summary>
    public static string? UserFile => KernelCache.OfUser is { } cache ? Path.Combine(cache.Folder, "tiles.txt") : null;

    /// <summary>The fastest tile for a node.</summary>
    /// <param name="node">A convolution, or the gradient of one.</param>
    /// <param name="shape">What it computes.</param>
    public ConvTile Choose(Node node, ConvShape shape)
    {
        string inputs = string.Concat(node.Inputs.Select(i => i is null ? '-' : '+'));
        string key = $"{device.Driver.Device.Name}; {device.Precision}; {node.Operator}; {inputs}; {shape}";
        IReadOnlyList<ConvTile> ranked = ConvTiling.Ranked(shape, device.Driver.Device);
        // A file of another version may name a tile that the kernel no longer takes.
        if (choices.TryGetValue(key, out ConvTile known) && ranked.Contains(known)) return known;
        ConvTile best = ranked.Take(Candidates).MinBy(tile => Seconds(node, tile));
        choices[key] = best;
        Keep(key, best);
        return best;
    }

    // A graph of the node alone; activations come from and go to a copy, so that they are stored as in the middle of a network.
    private double Seconds(Node node, ConvTile tile)
    {
        var g = new Graph();
        Value Stored(Value v) => v.Shape.Rank == 4 ? g.Apply(new Activate(Activation.None), [v], v.Name + ".copy") : v;
        Value?[] inputs = [.. node.Inputs.Select((v, i) => v is null ? null
            : LaunchContext.IsConstant(v) ? g.Constant($"in{i}", v.Shape, data => data.Clear()) : Stored(g.Input($"in{i}", v.Shape)))];
        g.Output("y", Stored(g.Apply(node.Operator, inputs)));
        using var executable = new CudaExecutable(device, g, new CompileOptions { Fuse = false, FoldConstants = false }, tile);
        foreach (Value input in g.Inputs.Values) executable.Write(input.Name, new float[input.Shape.Count]);
        double Once() => executable.Profile().Where(k => k.Kernel == "conv2d_forward").Sum(k => k.Seconds);
        Once();
        return Enumerable.Range(0, Runs).Min(_ => Once());
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
}
