namespace RawDiffusion.Engine.Reference;

/// <summary>A double-precision array: what definitions compute with. Images are [N, H, W, C] as in the engine.</summary>
public sealed class Array64
{
    /// <summary>Makes an array.</summary>
    /// <param name="shape">Dimensions.</param>
    /// <param name="values">The elements, which it keeps; zeros where null.</param>
    /// <exception cref="ArgumentException">The elements are not as many as the shape says.</exception>
    public Array64(Shape shape, double[]? values = null)
    {
        Shape = shape;
        Values = values ?? new double[shape.Count];
        if (Values.Length != shape.Count) throw new ArgumentException($"{shape} got {Values.Length} elements");
    }

    /// <summary>Dimensions, outermost first.</summary>
    public Shape Shape { get; }

    /// <summary>Elements, last dimension fastest.</summary>
    public double[] Values { get; }

    /// <summary>Element by its position in memory.</summary>
    public ref double this[int i] => ref Values[i];

    /// <summary>Element of a matrix.</summary>
    public ref double this[int i, int j] => ref Values[i * Shape[1] + j];

    /// <summary>Element of a three-dimensional array.</summary>
    public ref double this[int i, int j, int k] => ref Values[(i * Shape[1] + j) * Shape[2] + k];

    /// <summary>Element of an image.</summary>
    public ref double this[int n, int h, int w, int c] => ref Values[((n * Shape[1] + h) * Shape[2] + w) * Shape[3] + c];

    /// <summary>Applies a function to each element.</summary>
    public Array64 Map(Func<double, double> f) => new(Shape, [.. Values.Select(f)]);

    /// <summary>The elements rounded to float32.</summary>
    public float[] ToSingles() => [.. Values.Select(v => (float)v)];
}
