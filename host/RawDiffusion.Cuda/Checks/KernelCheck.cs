using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Reference;

namespace RawDiffusion.Cuda.Checks;

/// <summary>A case with its inputs drawn and, when they are asked for, its results in double precision. Not thread-safe.</summary>
public sealed class PreparedCase
{
    private Array64[]? expected;

    /// <summary>Draws the inputs; what they should give is computed when it is asked for.</summary>
    /// <param name="kernelCase">Operators and shapes.</param>
    /// <param name="seed">Of the inputs' elements.</param>
    public PreparedCase(KernelCase kernelCase, int seed = 1)
    {
        var random = new Random(seed);
        Case = kernelCase;
        Data = [.. kernelCase.Inputs.Select(i => i?.Draw(random))];
    }

    /// <summary>Takes elements that were drawn before, for a case with the same constants.</summary>
    internal PreparedCase(KernelCase kernelCase, Array64?[] data) => (Case, Data) = (kernelCase, data);

    /// <summary>What was prepared.</summary>
    public KernelCase Case { get; }

    internal Array64?[] Data { get; }

    internal Array64[] Expected => expected ??= Evaluate(null);

    /// <summary>The definitions' results, the first being given where it is not null.</summary>
    internal Array64[] Evaluate(Array64? first)
    {
        var graph = new Graph();
        Value?[] inputs = [.. Case.Inputs.Select((input, i) => input is null ? null : graph.Input($"in{i}", input.Shape, input.DType))];
        IReadOnlyList<Value> outputs = Case.Build(graph, inputs);
        var values = new Dictionary<Value, Array64>();
        for (int i = 0; i < inputs.Length; i++)
            if (inputs[i] is { } input) values.Add(input, Data[i]!);
        if (first is not null) values.Add(outputs[0], first);
        foreach (Node node in graph.Nodes)
        {
            if (!values.ContainsKey(node.Output))
                values.Add(node.Output, Definition.Evaluate(node.Operator, [.. node.Inputs.Select(v => v is null ? null : values[v])]));
        }

        return [.. outputs.Select(v => values[v])];
    }
}

/// <summary>What a kernel case gave.</summary>
/// <param name="Launches">The kernels of its first run, in order.</param>
/// <param name="Error">Largest difference from the double-precision definition, relative to its largest element.</param>
/// <param name="Tolerance">What <paramref name="Error"/> may be.</param>
/// <param name="Drift">By what part of themselves results are too small or too large on the whole, beyond what chance allows: operands cut
/// off instead of rounded.</param>
/// <param name="Repeats">Whether a second run of the same executable gave the same bits.</param>
public sealed record CaseResult(IReadOnlyList<(KernelVariant Variant, LaunchGeometry Geometry)> Launches, double Error, double Tolerance,
    double Drift, bool Repeats)
{
    /// <summary>Whether the result is finite and close enough. Not a number is never close.</summary>
    public bool IsClose => Error <= Tolerance;
}

/// <summary>Runs operators on a CUDA device against their double-precision definitions.</summary>
public static class KernelCheck
{
    /// <summary>Runs one case, each executable twice, unless it has run: where nothing is stored in 16 bits, precisions agree.</summary>
    /// <param name="device">Where.</param>
    /// <param name="prepared">The case.</param>
    /// <param name="ran">Kernels and grids with which the case has run; gets these.</param>
    /// <returns>Null where the same kernels have run on the same grids.</returns>
    /// <exception cref="GraphException">The device has no kernel for an operator.</exception>
    public static CaseResult? Run(CudaDevice device, PreparedCase prepared, ISet<string> ran)
    {
        // Each value in an allocation of its own: an access past its end is then an error, and not a neighbour's element.
        CaseResult? result = Run(device, prepared, reuseMemory: false, ran);
        if (result is null || prepared.Case.Operator is { InPlaceInput: < 0 }) return result;
        // Launches that share memory must wait for each other where launches on memory of their own need not; results lie in the place of
        // inputs.
        CaseResult shared = Run(device, prepared, reuseMemory: true, new HashSet<string>())!;
        result = result.Error / result.Tolerance >= shared.Error / shared.Tolerance ? result
            : result with { Error = shared.Error, Tolerance = shared.Tolerance };
        return result with { Drift = Math.Max(result.Drift, shared.Drift), Repeats = result.Repeats && shared.Repeats };
    }

    /// <summary>Runs a case of which only some images are computed, once.</summary>
    /// <param name="device">A device that runs only the blocks it is told.</param>
    /// <param name="large">Operator and shapes.</param>
    /// <exception cref="GraphException">The device has no kernel for an operator.</exception>
    public static CaseResult Run(CudaDevice device, LargeCase large)
    {
        IReadOnlyList<int> computed = large.Computed;
        var few = new PreparedCase(new KernelCase(large.Operator(computed.Count), large.Inputs(computed.Count)));
        var all = new PreparedCase(new KernelCase(large.Operator(large.Images), large.Inputs(large.Images)), few.Data);
        (Graph g, Value[] outputs, CompileOptions options) = Build(all, reuseMemory: false);
        using var executable = (CudaExecutable)device.Compile(g, options);
        for (int i = 0; i < few.Data.Length; i++)
        {
            if (few.Case.Inputs[i] is not { IsConstant: false } input) continue;
            if (input.Step is { } step) executable.Write($"in{i}", [step]);
            else EachPart(few.Data[i]!.ToSingles(), (part, at) => executable.WritePart($"in{i}", at, part));
        }
        executable.Run();
        float[] found = few.Expected[0].ToSingles();
        Array.Fill(found, float.NaN);
        EachPart(found, (part, at) => executable.ReadPart("y0", at, part));
        return new CaseResult(executable.Launches, Error(few.Expected[0], found), Tolerance(few.Case, device.Precision, outputs[0].Shape),
            0, Repeats: true);

        void EachPart(float[] values, Action<ArraySegment<float>, long> move)
        {
            int size = values.Length / computed.Count;
            for (int i = 0; i < computed.Count; i++) move(new ArraySegment<float>(values, i * size, size), (long)computed[i] * size);
        }
    }

    /// <summary>The graph of a case, with its inputs <c>in0</c>, .. and outputs <c>y0</c>, ..</summary>
    internal static (Graph Graph, Value[] Outputs, CompileOptions Options) Build(PreparedCase prepared, bool reuseMemory)
    {
        KernelCase kernelCase = prepared.Case;
        var g = new Graph();
        IReadOnlyList<Value> results = kernelCase.Build(
            g, [.. kernelCase.Inputs.Select((input, i) => Declare(g, input, prepared.Data[i], $"in{i}"))]);
        Value[] outputs = [.. results.Select(y => Pass(g, y))];
        for (int i = 0; i < outputs.Length; i++) g.Output($"y{i}", outputs[i]);
        return (g, outputs, new CompileOptions { Fuse = kernelCase.Operator is null, FoldConstants = false, ReuseMemory = reuseMemory });
    }

    private static CaseResult? Run(CudaDevice device, PreparedCase prepared, bool reuseMemory, ISet<string> ran)
    {
        KernelCase kernelCase = prepared.Case;
        Array64?[] data = prepared.Data;
        (Graph g, Value[] outputs, CompileOptions options) = Build(prepared, reuseMemory);
        using var executable = (CudaExecutable)device.Compile(g, options);
        if (!ran.Add(string.Join('\n', executable.Launches))) return null;
        for (int i = 0; i < data.Length; i++)
        {
            if (kernelCase.Inputs[i] is not { IsConstant: false } input) continue;
            if (input.Step is { } step) executable.Write($"in{i}", [step]);
            else executable.Write($"in{i}", data[i]!.ToSingles());
        }
        float[][] found = Results(executable, prepared, outputs);
        // A kernel that does nothing the second time, because a counter is not zero, must not pass for one that repeats itself.
        executable.Spoil();
        float[][] again = Results(executable, prepared, outputs);
        Array64[] expected = prepared.Expected;
        if (kernelCase.ReadsStored)
            expected = [expected[0], .. prepared.Evaluate(new Array64(outputs[0].Shape, [.. found[0].Select(v => (double)v)])).Skip(1)];
        (double error, double tolerance) = found.Select(
            (y, i) => (Error: Error(expected[i], y), Tolerance: Tolerance(kernelCase, device.Precision, outputs[i].Shape)))
            .MaxBy(e => double.IsFinite(e.Error) ? e.Error / e.Tolerance : double.PositiveInfinity);
        bool repeats = found.Zip(again)
            .All(p => MemoryMarshal.AsBytes(p.First.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(p.Second.AsSpan())));
        return new CaseResult(executable.Launches, error, tolerance, found.Select((y, i) => Drift(expected[i], y, device.Precision))
            .Max(), repeats);
    }

    private static float[][] Results(CudaExecutable executable, PreparedCase prepared, Value[] outputs)
    {
        executable.Run();
        executable.Synchronize();
        return [.. outputs.Select((y, i) =>
        {
            // A counter cannot be read; what reads it is a case of its own.
            float[] found = prepared.Expected[i].ToSingles();
            if (y.DType != DType.F32) return found;
            Array.Fill(found, float.NaN);
            executable.Read($"y{i}", found);
            return found;
        })];
    }

    /// <summary>What a result may differ by, relative to the largest element.</summary>
    /// <param name="kernelCase">What computes it.</param>
    /// <param name="precision">Storage and operands.</param>
    /// <param name="shape">Its dimensions.</param>
    public static double Tolerance(KernelCase kernelCase, Precision precision, Shape shape)
    {
        // Of float32 results: sums of up to a few thousand products of random sign, each rounded to 6e-8; a graph has several in a row.
        double exact = kernelCase.Operator switch { TimestepEmbedding or RandomNormal => 2e-6, null => 1e-5, _ => 5e-6 };
        // What is no image is float32, and so is all arithmetic that leads to it, but for inputs that storage rounds.
        if (shape.Rank != 4 && !kernelCase.Inputs.Any(i => i is { HasAllBits: true, Shape.Rank: 4 })) return exact;
        return precision switch
        {
            Precision.Tf32 => kernelCase.Operator is null or Conv2d or Attention || IsGradient(kernelCase.Operator) ? 2e-3 : exact,
            Precision.Bf16 => 2e-2,
            Precision.Fp16 => 3e-3,
            Precision.Fp32 => exact,
            _ => throw GraphException.Unhandled(precision),
        };
    }

    private static bool IsGradient(Operator op) => op.Name.Contains("Grad", StringComparison.Ordinal);

    // The slope of found over expected falls short of 1 by a third of the last place where operands or results are cut off, and
    // exceeds it where what they are divided by was; where they are rounded it differs by chance alone, the less the more elements there
    // are.
    private static double Drift(Array64 expected, float[] found, Precision precision)
    {
        double lastPlace = precision switch
        {
            Precision.Fp32 => double.PositiveInfinity,
            Precision.Tf32 or Precision.Fp16 => 1.0 / 1024,
            Precision.Bf16 => 1.0 / 128,
            _ => throw GraphException.Unhandled(precision),
        };
        double products = 0, squares = 0, rest = 0;
        for (int i = 0; i < found.Length; i++)
        {
            if (!double.IsFinite(expected[i])) continue;
            products += found[i] * expected[i];
            squares += expected[i] * expected[i];
            rest += (found[i] - expected[i]) * (found[i] - expected[i]);
        }
        double drift = Math.Abs(1 - products / squares), chance = 4 * Math.Sqrt(rest / squares / found.Length);
        return found.Length >= 64 && drift > lastPlace / 8 + chance ? drift : 0;
    }

    private static double Error(Array64 expected, float[] found)
    {
        double largest = expected.Values.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max();
        double error = 0;
        for (int i = 0; i < found.Length; i++)
        {
            if ((double.IsNaN(expected[i]) && float.IsNaN(found[i])) || (double.IsInfinity(expected[i]) && expected[i] == found[i]))
                continue;
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
