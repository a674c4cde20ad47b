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

    /// <summary>A step counter with this value, instead of random elements.</summary>
    public int? Step { get; init; }

    /// <summary>Weights [O, .., I] scaled so that a product keeps the size of its input.</summary>
    public static CaseInput Weight(Shape shape) => new(shape, 0, Math.Sqrt((double)shape[0] / Math.Max(1, shape.Count))) { IsConstant = true, IsWeight = true };

    /// <summary>Normal elements, fixed.</summary>
    public static CaseInput Constant(Shape shape, double mean = 0, double deviation = 1) => new(shape, mean, deviation) { IsConstant = true };

    /// <summary>A step counter.</summary>
    public static CaseInput Counter(int step) => new([1]) { Step = step };

    internal Array64 Draw(Random random)
    {
        var array = new Array64(Shape);
        // Numbers of 8 bits, which every storage and operand format holds as they are: what differs is then the kernel's doing.
        for (int i = 0; i < array.Values.Length; i++) array[i] = Step ?? Round(Mean + Deviation * Normal(random));
        return array;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static double Round(double value) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits((float)value) & 0xffff0000);
}

/// <summary>One operator with its attributes at one choice of shapes.</summary>
/// <param name="Operator">What is applied.</param>
/// <param name="Inputs">Its inputs by position, null where absent.</param>
public sealed record KernelCase(Operator Operator, IReadOnlyList<CaseInput?> Inputs)
{
    /// <summary>Operator and shapes: <c>Conv2d [2, 5, 7, 33] [20, 3, 3, 33]</c>.</summary>
    public override string ToString() => $"{Operator.Name} {string.Join(" ", Inputs.Select(i => i?.Shape.ToString() ?? "-"))}";
}
