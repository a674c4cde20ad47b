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
        // Rounded to float32, so that reference and device see the same number.
        for (int i = 0; i < array.Values.Length; i++)
            array[i] = Step ?? (float)(Mean + Deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return array;
    }
}

/// <summary>One operator with its attributes at one choice of shapes.</summary>
/// <param name="Operator">What is applied.</param>
/// <param name="Inputs">Its inputs by position, null where absent.</param>
public sealed record KernelCase(Operator Operator, IReadOnlyList<CaseInput?> Inputs)
{
    /// <summary>Operator and shapes: <c>Conv2d [2, 5, 7, 33] [20, 3, 3, 33]</c>.</summary>
    public override string ToString() => $"{Operator.Name} {string.Join(" ", Inputs.Select(i => i?.Shape.ToString() ?? "-"))}";
}
