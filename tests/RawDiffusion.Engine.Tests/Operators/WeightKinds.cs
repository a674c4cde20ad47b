using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

/// <summary>What holds a weight makes no difference to what is computed: a constant, an input, a state or a reshape of one.</summary>
internal static class WeightKinds
{
    /// <summary>Requires the same bits of an operator of an input and a weight whose elements change from run to run.</summary>
    public static void RequireSameBits(Application apply, Shape input, Shape weight)
    {
        foreach (TestDevice device in TestDevices.OneOfEach)
        {
            float[] x = Draw(input, 1), first = Draw(weight, 2), second = Draw(weight, 3);
            foreach (float[] w in (float[][])[first, second])
            {
                float[] expected = Run(device, g => g.Constant("w", weight, w), w, other: null);
                OperatorContract.RequireSameBits(
                    $"an input as weight on {device}", expected, Run(device, g => g.Input("w", weight), w, second));
                OperatorContract.RequireSameBits(
                    $"a state as weight on {device}", expected, Run(device, g => g.State("w", weight), w, second));
                Shape flat = [(int)weight.Count];
                OperatorContract.RequireSameBits($"a reshaped state as weight on {device}", expected,
                    Run(device, g => g.Reshape(g.State("w", flat), weight), w, second));
            }

            // Another weight in a run before: what was packed then must be gone.
            float[] Run(TestDevice on, Func<Graph, Value> hold, float[] w, float[]? other)
            {
                var g = new Graph();
                Value y = apply(g, [g.Input("x", input), hold(g)]);
                g.Output("y", y);
                using IExecutable executable = on.Device.Compile(g);
                executable.Write("x", x);
                if (other is not null)
                {
                    executable.Write("w", other);
                    executable.Run();
                    executable.Write("w", w);
                }
                executable.Run();
                float[] found = new float[y.Shape.Count];
                executable.Read("y", found);
                return found;
            }
        }
    }

    private static float[] Draw(Shape shape, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, (int)shape.Count).Select(_ => random.NextSingle() - 0.5f)];
    }
}
