namespace RawDiffusion.Engine;

/// <summary>One parameter's place among all.</summary>
/// <param name="Name">The checkpoint's tensor name.</param>
/// <param name="Shape">Shape in the engine's layout.</param>
/// <param name="Offset">Its first element.</param>
public sealed record Parameter(string Name, Shape Shape, long Offset);

/// <summary>
/// All parameters of a network side by side in one array, each on a boundary of 64 elements: what a network's gradients, an
/// optimizer step and a sum over processes work on. Elements between parameters mean nothing.
/// </summary>
public sealed class ParameterLayout
{
    private const long Alignment = 64;

    /// <summary>Places parameters in the given order.</summary>
    public ParameterLayout(IEnumerable<(string Name, Shape Shape)> parameters)
    {
        var places = new List<Parameter>();
        foreach ((string name, Shape shape) in parameters)
        {
            places.Add(new Parameter(name, shape, Count));
            Count += (shape.Count + Alignment - 1) / Alignment * Alignment;
        }
        Parameters = places;
    }

    /// <summary>The parameters in order.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Elements of the array, with those between parameters.</summary>
    public long Count { get; }

    /// <summary>Shape of the array.</summary>
    public Shape Shape => [checked((int)Count)];

    /// <summary>
    /// Runs of parameters as layouts of their own, at most so many and about equally large: side by side they are this array.
    /// </summary>
    public IReadOnlyList<ParameterLayout> Split(int parts)
    {
        long size = (Count + parts - 1) / parts;
        return [.. Parameters.GroupBy(p => p.Offset / size).Select(run => new ParameterLayout(run.Select(p => (p.Name, p.Shape))))];
    }

    /// <summary>Whether an element of the array is one of a parameter.</summary>
    public bool Holds(long index) => Parameters.Any(p => index >= p.Offset && index < p.Offset + p.Shape.Count);
}
