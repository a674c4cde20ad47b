namespace RawDiffusion.Engine;

/// <summary>What one execution of a node costs at least.</summary>
/// <param name="Flops">Floating-point operations; a fused multiply-add counts two.</param>
/// <param name="Bytes">Compulsory memory traffic: each input read once, the output written once.</param>
public readonly record struct Cost(double Flops, double Bytes)
{
    /// <summary>A pass over the output with a number of operations for each element.</summary>
    public static Cost Elementwise(IReadOnlyList<Value?> inputs, Shape output, double flopsPerElement) =>
        new(flopsPerElement * output.Count, Traffic(inputs, output));

    /// <summary>Bytes of all inputs and the output.</summary>
    public static double Traffic(IReadOnlyList<Value?> inputs, Shape output)
    {
        double elements = output.Count;
        foreach (Value? input in inputs) elements += input?.Shape.Count ?? 0;
        return 4 * elements;
    }

    /// <summary>Adds costs.</summary>
    public static Cost operator +(Cost a, Cost b) => new(a.Flops + b.Flops, a.Bytes + b.Bytes);
}
