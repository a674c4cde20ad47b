using System.Globalization;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Testing;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>What an operator's result may differ from the reference, relative to its largest element, in each precision.</summary>
internal sealed record KernelTolerance(double Fp32, double Tf32, double Bf16, double Fp16)
{
    /// <summary>Of operators that compute in float32 always and store in float32.</summary>
    public static KernelTolerance Exact { get; } = new(3e-6, 3e-6, 3e-6, 3e-6);

    public Tolerance Of(Precision precision) => Tolerance.RelativeToMax(precision switch
    {
        Precision.Tf32 => Tf32,
        Precision.Bf16 => Bf16,
        Precision.Fp16 => Fp16,
        _ => Fp32,
    });
}

/// <summary>
/// Checks what only the CUDA device has, gradients above all, against double precision: on the emulator, in each
/// precision, with operands as callers give them (float32) and as activations are stored, and twice, bit for bit.
/// </summary>
internal static class KernelContract
{
    private static readonly KernelCompiler Compiler = new();

    /// <summary>Checks one operator at one set of shapes.</summary>
    /// <param name="tolerance">How close it must come.</param>
    /// <param name="apply">Applies the operator.</param>
    /// <param name="reference">Gives the result's elements, row-major, from those of the inputs.</param>
    /// <param name="shapes">Shapes of the inputs, which become random numbers.</param>
    public static void Check(KernelTolerance tolerance, Func<Graph, Value[], Value> apply, Func<double[][], double[]> reference,
        params Shape[] shapes)
    {
        double[][] inputs = Draw(shapes);
        double[] expected = reference(inputs);
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), Compiler, precision);
            // In 32 bits, activations are stored as callers give them.
            foreach (bool stored in precision is Precision.Bf16 or Precision.Fp16 ? (bool[])[false, true] : [false])
            {
                string what = $"({string.Join(", ", shapes)}) in {precision}{(stored ? " from and to activations" : "")}";
                (Shape shape, float[] found) = Run(what, device, apply, inputs, shapes, stored);
                Comparer.RequireClose(what, [.. shape.Dimensions], expected, [.. shape.Dimensions], [.. found.Select(f => (double)f)],
                    tolerance.Of(precision));
            }
        }
    }

    private static (Shape Shape, float[] Found) Run(
        string what, CudaDevice device, Func<Graph, Value[], Value> apply, double[][] inputs, Shape[] shapes, bool stored)
    {
        var g = new Graph();
        // The identity gives an activation of what a caller writes, and something that a caller can read of an activation.
        Value Identity(Value v) => stored ? g.Apply(new Activate(Activation.None), [v]) : v;
        Value y = Identity(apply(g, [.. shapes.Select((s, i) => Identity(g.Input(Name(i), s)))]));
        g.Output("y", y);
        // Each value in memory of its own: what leaves it is found.
        using IExecutable executable = device.Compile(g, new CompileOptions { ReuseMemory = false });
        for (int i = 0; i < shapes.Length; i++) executable.Write(Name(i), [.. Enumerable.Repeat(float.NaN, inputs[i].Length)]);
        executable.Run();
        float[] first = Next(), second = Next();
        Assert.That(second.Select(BitConverter.SingleToInt32Bits), Is.EqualTo(first.Select(BitConverter.SingleToInt32Bits)),
            $"{what}: two runs");
        return (y.Shape, first);

        float[] Next()
        {
            for (int i = 0; i < shapes.Length; i++) executable.Write(Name(i), [.. inputs[i].Select(v => (float)v)]);
            executable.Run();
            float[] found = new float[y.Shape.Count];
            found.AsSpan().Fill(float.NaN);
            executable.Read("y", found);
            return found;
        }
    }

    // Normal, with 8 bits: every storage and every operand format holds them as they are.
    private static double[][] Draw(Shape[] shapes)
    {
        var random = new Random((int)ClosedFormWeights.Fnv1a32(string.Join(";", shapes)));
        return [.. shapes.Select(s => Enumerable.Range(0, (int)s.Count).Select(_ => Rounded(Normal(random))).ToArray())];
    }

    private static double Rounded(double x)
    {
        double unit = Math.Pow(2, Math.Floor(Math.Log2(Math.Abs(x))) - 7);
        return Math.Round(x / unit) * unit;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static string Name(int i) => string.Create(CultureInfo.InvariantCulture, $"in{i}");
}
