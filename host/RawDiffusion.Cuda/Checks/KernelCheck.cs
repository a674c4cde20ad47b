using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Reference;

namespace RawDiffusion.Cuda.Checks;

/// <summary>A case with its inputs drawn and its result computed in double precision.</summary>
public sealed class PreparedCase
{
    /// <summary>Draws and computes.</summary>
    /// <param name="kernelCase">Operator and shapes.</param>
    /// <param name="seed">Of the inputs' elements.</param>
    public PreparedCase(KernelCase kernelCase, int seed = 1)
    {
        var random = new Random(seed);
        Case = kernelCase;
        Data = [.. kernelCase.Inputs.Select(i => i?.Draw(random))];
        Expected = Definition.Evaluate(kernelCase.Operator, Data);
    }

    /// <summary>What was prepared.</summary>
    public KernelCase Case { get; }

    internal Array64?[] Data { get; }

    internal Array64 Expected { get; }
}

/// <summary>What a kernel case gave.</summary>
/// <param name="Launches">The kernels it ran, in order.</param>
/// <param name="Error">Largest difference from the double-precision definition, relative to its largest element.</param>
/// <param name="Tolerance">What <paramref name="Error"/> may be.</param>
public sealed record CaseResult(IReadOnlyList<(KernelVariant Variant, LaunchGeometry Geometry)> Launches, double Error, double Tolerance)
{
    /// <summary>Whether the result is finite and close enough. Not a number is never close.</summary>
    public bool IsClose => Error <= Tolerance;
}

/// <summary>Runs operators on a CUDA device against their double-precision definitions.</summary>
public static class KernelCheck
{
    /// <summary>Runs one case.</summary>
    /// <exception cref="GraphException">The device has no kernel for the operator.</exception>
    public static CaseResult Run(CudaDevice device, PreparedCase prepared)
    {
        KernelCase kernelCase = prepared.Case;
        Array64?[] data = prepared.Data;
        var g = new Graph();
        Value y = Pass(g, g.Apply(kernelCase.Operator, [.. kernelCase.Inputs.Select((input, i) => Declare(g, input, data[i], $"in{i}"))]));
        g.Output("y", y);
        // Each value in an allocation of its own: an access past its end is then an error, and not a neighbour's element.
        using var executable = (CudaExecutable)device.Compile(g, new CompileOptions { Fuse = false, FoldConstants = false, ReuseMemory = false });
        for (int i = 0; i < data.Length; i++)
        {
            if (kernelCase.Inputs[i] is not { IsConstant: false } input) continue;
            if (input.Step is { } step) executable.Write($"in{i}", [step]);
            else executable.Write($"in{i}", data[i]!.ToSingles());
        }
        executable.Run();
        executable.Synchronize();
        // A counter cannot be read; what reads it is a case of its own.
        float[] found = prepared.Expected.ToSingles();
        if (y.DType == DType.F32)
        {
            Array.Fill(found, float.NaN);
            executable.Read("y", found);
        }
        return new CaseResult(executable.Launches, Error(prepared.Expected, found), Tolerance(kernelCase, device.Precision));
    }

    /// <summary>What an operator's result may differ by, relative to the largest element.</summary>
    public static double Tolerance(KernelCase kernelCase, Precision precision)
    {
        // Of float32 results: sums of up to a few thousand products of random sign, each rounded to 6e-8.
        double exact = kernelCase.Operator is TimestepEmbedding or RandomNormal ? 2e-6 : 5e-6;
        return precision switch
        {
            Precision.Tf32 => kernelCase.Operator is Conv2d or Attention || IsGradient(kernelCase.Operator) ? 2e-3 : exact,
            Precision.Bf16 => 2e-2,
            Precision.Fp16 => 3e-3,
            _ => exact,
        };
    }

    private static bool IsGradient(Operator op) => op.Name.Contains("Grad", StringComparison.Ordinal);

    private static double Error(Array64 expected, float[] found)
    {
        double largest = expected.Values.Select(Math.Abs).DefaultIfEmpty().Max();
        double error = 0;
        for (int i = 0; i < found.Length; i++)
        {
            double difference = Math.Abs(expected[i] - found[i]);
            if (!double.IsFinite(difference)) return double.PositiveInfinity;
            error = Math.Max(error, difference);
        }
        return largest > 0 ? error / largest : error;
    }

    // An activation in the middle of a network has the precision's storage: so does one that comes from a copying operator.
    private static Value? Declare(Graph g, CaseInput? input, Array64? data, string name) => input switch
    {
        null => null,
        { IsConstant: true } => g.Constant(name, input.Shape, data!.ToSingles()),
        { Step: not null } => g.Input(name, input.Shape, DType.I32),
        { IsWeight: true } => g.Input(name, input.Shape),
        _ => Pass(g, g.Input(name, input.Shape)),
    };

    private static Value Pass(Graph g, Value value) =>
        value.Shape.Rank == 4 ? g.Apply(new Activate(Activation.None), [value], value.Name + ".copy") : value;
}
