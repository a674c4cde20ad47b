using RawDiffusion.Engine.Operators;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>Applies the operator under test; absent inputs are null.</summary>
internal delegate Value Application(Graph g, Value?[] inputs);

/// <summary>The operator in double precision, slow and obviously right.</summary>
internal delegate Array64 Reference(Array64?[] inputs);

/// <summary>
/// What every operator owes on every device: the shape and the values of a double-precision reference, the same bits in
/// every run of an executable whatever ran before, and the same bits whatever the number of threads.
/// </summary>
internal static class OperatorContract
{
    /// <summary>Checks an operator on all devices.</summary>
    /// <param name="tolerance">Row of <see cref="Tolerances"/>: the operator's name.</param>
    /// <param name="apply">Applies the operator.</param>
    /// <param name="reference">Computes the same in double precision.</param>
    /// <param name="arguments">Inputs by position, null where absent.</param>
    public static void Check(string tolerance, Application apply, Reference reference, params Argument?[] arguments) =>
        Check(new CompileOptions(), tolerance, apply, reference, arguments);

    /// <summary>Checks an operator on all devices, compiled with the given options.</summary>
    /// <inheritdoc cref="Check(string, Application, Reference, Argument[])"/>
    public static void Check(CompileOptions options, string tolerance, Application apply, Reference reference, params Argument?[] arguments)
    {
        Array64?[] inputs = Draw(arguments);
        Array64 expected = reference(inputs);
        string what = $"{tolerance}({string.Join(", ", arguments.Select(a => a?.Shape.ToString() ?? "-"))})";
        var bits = new Dictionary<string, (string Name, float[] Values)>();
        foreach (TestDevice device in TestDevices.All)
        {
            string where = $"{what} on {device}";
            float[] found = Evaluate(where, device.Device, options, apply, arguments, inputs, expected.Shape);
            Comparer.RequireClose(where, Dimensions(expected.Shape), expected.Values, Dimensions(expected.Shape),
                Widen(found), Tolerances.Of(tolerance, device.Precision));
            if (bits.TryGetValue(device.Bits, out (string Name, float[] Values) twin))
                RequireSameBits($"{where} and {twin.Name}", twin.Values, found);
            else bits.Add(device.Bits, (device.Name, found));
        }
    }

    /// <summary>
    /// Checks an operator against its definition, and where it may write over an input, also when that input is nobody
    /// else's, so that its memory becomes the output's.
    /// </summary>
    /// <param name="tolerance">Row of <see cref="Tolerances"/>.</param>
    /// <param name="op">Operator.</param>
    /// <param name="arguments">Inputs by position, null where absent.</param>
    public static void CheckDefinition(string tolerance, Operator op, params Argument?[] arguments)
    {
        Check(tolerance, (g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), arguments);
        if (op.InPlaceInput >= 0)
            Check(tolerance, (g, v) => g.Apply(op, Copied(g, v, op.InPlaceInput)), a => Definition.Evaluate(op, a), arguments);
    }

    /// <summary>As <see cref="CheckNaN(Application, Reference, int, int, Argument[])"/>, with the operator's definition.</summary>
    public static void CheckDefinitionNaN(Operator op, int position, int element, params Argument?[] arguments) =>
        CheckNaN((g, v) => g.Apply(op, v), a => Definition.Evaluate(op, a), position, element, arguments);

    /// <summary>
    /// Plants a NaN in one input and requires it in exactly those elements of the output that depend on it, as the
    /// reference says.
    /// </summary>
    /// <param name="apply">Applies the operator.</param>
    /// <param name="reference">Computes the same in double precision; NaN spreads there by the rules of arithmetic.</param>
    /// <param name="position">Input that gets the NaN.</param>
    /// <param name="element">Its element that becomes NaN.</param>
    /// <param name="arguments">Inputs by position, null where absent.</param>
    public static void CheckNaN(Application apply, Reference reference, int position, int element, params Argument?[] arguments) =>
        CheckNaN(apply, reference, position, element, exact: true, arguments);

    /// <summary>As the other; without <paramref name="exact"/>, neighbours may become NaN as well.</summary>
    /// <inheritdoc cref="CheckNaN(Application, Reference, int, int, Argument[])"/>
    public static void CheckNaN(Application apply, Reference reference, int position, int element, bool exact, params Argument?[] arguments)
    {
        Array64?[] inputs = Draw(arguments);
        inputs[position]![element] = double.NaN;
        Array64 expected = reference(inputs);
        Assert.That(expected.Values, Has.Some.NaN, "the reference must show the NaN somewhere, or this test tests nothing");
        foreach (TestDevice device in TestDevices.All)
        {
            float[] found = Evaluate($"NaN in input {position} on {device}", device.Device, new CompileOptions(), apply, arguments, inputs,
                expected.Shape);
            int[] swallowed = [.. Enumerable.Range(0, found.Length).Where(i => double.IsNaN(expected[i]) && !float.IsNaN(found[i]))];
            int[] invented = [.. Enumerable.Range(0, found.Length).Where(i => double.IsFinite(expected[i]) && !float.IsFinite(found[i]))];
            Assert.That(swallowed, Is.Empty, $"NaN of input {position} does not reach these elements on {device}");
            if (exact) Assert.That(invented, Is.Empty, $"NaN of input {position} reaches elements that do not depend on it on {device}");
        }
    }

    /// <summary>Requires that applying an operator fails with a message that names all of this.</summary>
    public static void CheckRefusal(Application apply, string[] names, params Argument?[] arguments)
    {
        var g = new Graph();
        Value?[] inputs = Define(g, arguments, Draw(arguments));
        GraphException? error = Assert.Throws<GraphException>(() => apply(g, inputs));
        foreach (string name in names) Assert.That(error!.Message, Does.Contain(name));
    }

    /// <summary>The message must hold the text of all values and the operator's name.</summary>
    public static void CheckShapesDisagree(string op, Application apply, int[] named, params Argument?[] arguments) =>
        CheckRefusal(apply, [op, .. named.Select(i => $"in{i} {arguments[i]!.Shape}")], arguments);

    internal static int[] Dimensions(Shape shape) => [.. shape.Dimensions];

    internal static double[] Widen(float[] values) => [.. values.Select(v => (double)v)];

    internal static void RequireSameBits(string what, float[] expected, float[] found)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToUInt32Bits(expected[i]) != BitConverter.SingleToUInt32Bits(found[i]))
                throw new ComparisonException($"{what} differ in their bits at element {i}: {expected[i]:R} and {found[i]:R}");
        }
    }

    private static Value?[] Copied(Graph g, Value?[] values, int position)
    {
        Value?[] copied = [.. values];
        copied[position] = g.Apply(new Activate(Activation.None), [values[position]]);
        return copied;
    }

    private static float[] Evaluate(
        string where, IDevice device, CompileOptions options, Application apply, Argument?[] arguments, Array64?[] inputs, Shape expected)
    {
        var g = new Graph();
        Value?[] values = Define(g, arguments, inputs);
        Value output = apply(g, values);
        if (output.Shape != expected) throw new ComparisonException($"{where}: expected shape {expected}, found {output.Shape}");
        g.Output("y", output);
        using IExecutable executable = device.Compile(g, options);

        // A first run on NaN leaves NaN in arena, scratch memory and output: what the operator does not write shows.
        WriteAll(executable, arguments, inputs, poisoned: true);
        executable.Run();
        WriteAll(executable, arguments, inputs, poisoned: false);
        executable.Run();
        float[] first = Read(executable, "y", expected);
        WriteAll(executable, arguments, inputs, poisoned: false);
        executable.Run();
        RequireSameBits($"{where}: two runs of one executable", first, Read(executable, "y", expected));
        return first;
    }

    private static float[] Read(IExecutable executable, string name, Shape shape)
    {
        float[] data = new float[shape.Count];
        data.AsSpan().Fill(float.NaN);
        executable.Read(name, data);
        return data;
    }

    private static void WriteAll(IExecutable executable, Argument?[] arguments, Array64?[] inputs, bool poisoned)
    {
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] is not { Kind: ValueKind.Input } argument) continue;
            if (argument.Integers is { } integers) executable.Write($"in{i}", integers);
            else if (poisoned) executable.Write($"in{i}", [.. Enumerable.Repeat(float.NaN, inputs[i]!.Values.Length)]);
            else executable.Write($"in{i}", inputs[i]!.ToSingles());
        }
    }

    private static Value?[] Define(Graph g, Argument?[] arguments, Array64?[] inputs)
    {
        var values = new Value?[arguments.Length];
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] is not { } argument) continue;
            values[i] = argument.Kind == ValueKind.Constant
                ? g.Constant($"in{i}", argument.Shape, inputs[i]!.ToSingles())
                : g.Input($"in{i}", argument.Shape, argument.Integers is null ? DType.F32 : DType.I32);
        }
        return values;
    }

    // The seed is the shapes': a case does not change when another is added.
    private static Array64?[] Draw(Argument?[] arguments)
    {
        var random = new Random((int)ClosedFormWeights.Fnv1a32(string.Join(";", arguments.Select(a => a?.Shape.ToString()))));
        return [.. arguments.Select(a => a?.Draw(random))];
    }
}
