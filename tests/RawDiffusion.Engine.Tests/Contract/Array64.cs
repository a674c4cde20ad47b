namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>A double-precision array: what the references compute with. Images are [N, H, W, C] as in the engine.</summary>
internal sealed class Array64
{
    public Array64(Shape shape, double[]? values = null)
    {
        Shape = shape;
        Values = values ?? new double[shape.Count];
        if (Values.Length != shape.Count) throw new ArgumentException($"{shape} got {Values.Length} elements");
    }

    public Shape Shape { get; }

    public double[] Values { get; }

    public ref double this[int i] => ref Values[i];

    public ref double this[int i, int j] => ref Values[i * Shape[1] + j];

    public ref double this[int i, int j, int k] => ref Values[(i * Shape[1] + j) * Shape[2] + k];

    public ref double this[int n, int h, int w, int c] => ref Values[((n * Shape[1] + h) * Shape[2] + w) * Shape[3] + c];

    public Array64 Map(Func<double, double> f) => new(Shape, [.. Values.Select(f)]);

    public float[] ToSingles() => [.. Values.Select(v => (float)v)];
}
