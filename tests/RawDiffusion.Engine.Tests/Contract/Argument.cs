namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>One input of an operator under test: what it is to the graph, its shape, and its elements or their distribution.</summary>
internal sealed record Argument(Shape Shape, ValueKind Kind)
{
    /// <summary>Mean of random elements.</summary>
    public double Mean { get; init; }

    /// <summary>Standard deviation of random elements.</summary>
    public double Deviation { get; init; } = 1;

    /// <summary>The elements themselves, instead of random ones.</summary>
    public float[]? Data { get; init; }

    /// <summary>The elements of an integer input.</summary>
    public int[]? Integers { get; init; }

    /// <summary>Standard normal elements, written before each run.</summary>
    public static Argument Input(Shape shape, double mean = 0, double deviation = 1) =>
        new(shape, ValueKind.Input) { Mean = mean, Deviation = deviation };

    /// <summary>Normal elements, fixed when the graph is compiled.</summary>
    public static Argument Constant(Shape shape, double mean = 0, double deviation = 1) =>
        new(shape, ValueKind.Constant) { Mean = mean, Deviation = deviation };

    /// <summary>Weights [O, .., I] scaled so that a product keeps the size of its input.</summary>
    public static Argument Weight(Shape shape) => Constant(shape, 0, Math.Sqrt((double)shape[0] / Math.Max(1, shape.Count)));

    /// <summary>The given elements, written before each run.</summary>
    public static Argument Of(Array64 data, ValueKind kind = ValueKind.Input) => new(data.Shape, kind) { Data = data.ToSingles() };

    /// <summary>One int32, written before each run.</summary>
    public static Argument Step(int value) => new([1], ValueKind.Input) { Integers = [value] };

    public Array64 Draw(Random random)
    {
        if (Integers is not null) return new Array64(Shape, [.. Integers.Select(i => (double)i)]);
        if (Data is not null) return new Array64(Shape, [.. Data.Select(d => (double)d)]);
        var array = new Array64(Shape);
        // Rounded to float32, so that reference and device see the same number.
        for (int i = 0; i < array.Values.Length; i++) array[i] = (float)(Mean + Deviation * Normal(random));
        return array;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
