using RawDiffusion.Engine;
using RawDiffusion.Engine.Reference;

namespace RawDiffusion.Cuda.Checks;

/// <summary>One input of a <see cref="KernelCase"/>: its shape and how its elements are drawn.</summary>
/// <param name="Shape">Dimensions.</param>
/// <param name="Mean">Mean of normal elements.</param>
/// <param name="Deviation">Their standard deviation.</param>
public sealed record CaseInput(Shape Shape, double Mean = 0, double Deviation = 1)
{
    /// <summary>Fixed when the graph is compiled, as weights are.</summary>
    public bool IsConstant { get; init; }

    /// <summary>A weight, which is float32 whatever the precision, also where it is not constant.</summary>
    public bool IsWeight { get; init; }

    /// <summary>Elements that are zero, and one that is not a number, among the others: where kernels may not look away.</summary>
    public bool HasCorners { get; init; }

    /// <summary>Elements of 24 bits instead of 8: what operands must be rounded from, and not cut off.</summary>
    public bool HasAllBits { get; init; }

    /// <summary>
    /// Later elements are larger: those of row r are multiplied by r over the rows, so that each tile meets a new maximum.
    /// </summary>
    public bool Rises { get; init; }

    /// <summary>These elements instead of random ones.</summary>
    public IReadOnlyList<double>? Elements { get; init; }

    /// <summary>A step counter with this value, instead of random elements.</summary>
    public int? Step { get; init; }

    internal DType DType => Step is null ? DType.F32 : DType.I32;

    /// <summary>Weights [O, .., I] scaled so that a product keeps the size of its input.</summary>
    public static CaseInput Weight(Shape shape) =>
        new(shape, 0, Math.Sqrt((double)shape[0] / Math.Max(1, shape.Count))) { IsConstant = true, IsWeight = true };

    /// <summary>Normal elements, fixed.</summary>
    public static CaseInput Constant(Shape shape, double mean = 0, double deviation = 1) =>
        new(shape, mean, deviation) { IsConstant = true };

    /// <summary>A step counter.</summary>
    public static CaseInput Counter(int step) => new([1]) { Step = step };

    internal Array64 Draw(Random random)
    {
        var array = new Array64(Shape);
        for (int i = 0; i < array.Values.Length; i++)
        {
            array[i] = Step ?? Elements?[i] ?? Element(
                i, (Rises ? (double)(i / Shape[^1]) * Shape[^1] / array.Values.Length : 1) * (Mean + Deviation * Normal(random)));
        }
        return array;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    // Numbers of 8 bits, which every storage format holds as they are: what differs is then the kernel's doing. Weights are
    // float32 in storage, and the kernel rounds them to operands.
    private double Element(int i, double value) => HasCorners && i % 5 == 3 ? i == 3 ? double.NaN : 0 : IsWeight
        || HasAllBits ? (float)value : Round(value);

    private static double Round(double value) =>
        BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits((float)value) & 0xffff0000);
}

/// <summary>Appends the nodes of a case to a graph.</summary>
/// <param name="graph">Where.</param>
/// <param name="inputs">The case's inputs by position, null where absent.</param>
/// <returns>What is compared with the definitions.</returns>
public delegate IReadOnlyList<Value> CaseBuilder(Graph graph, IReadOnlyList<Value?> inputs);

/// <summary>One operator with its attributes at one choice of shapes, or a small graph of several.</summary>
/// <param name="Name">The operator's name, or the graph's.</param>
/// <param name="Inputs">Inputs by position, null where absent.</param>
/// <param name="Build">Makes the nodes.</param>
public sealed record KernelCase(string Name, IReadOnlyList<CaseInput?> Inputs, CaseBuilder Build)
{
    /// <summary>A case of one operator, which runs as it is.</summary>
    /// <param name="op">What is applied.</param>
    /// <param name="inputs">Its inputs by position, null where absent.</param>
    public KernelCase(Operator op, IReadOnlyList<CaseInput?> inputs)
        : this(op.Name, inputs, (graph, values) => [graph.Apply(op, [.. values])]) => Operator = op;

    /// <summary>What is applied; null for a graph, which runs as all passes and launches over several nodes leave it.</summary>
    public Operator? Operator { get; }

    /// <summary>
    /// Whether what follows the first output is compared with what its definition makes of that output as the device stores it: such are
    /// statistics of a tensor that is rounded.
    /// </summary>
    public bool ReadsStored { get; init; }

    /// <summary>Operator and shapes: <c>Conv2d [2, 5, 7, 33] [20, 3, 3, 33]</c>.</summary>
    public override string ToString() => $"{Name} {string.Join(" ", Inputs.Select(i => i?.Shape.ToString() ?? "-"))}";
}
