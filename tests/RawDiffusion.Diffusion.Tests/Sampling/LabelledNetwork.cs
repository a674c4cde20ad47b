using RawDiffusion.Diffusion.Conditioning;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Reference;

namespace RawDiffusion.Diffusion.Tests.Sampling;

/// <summary>
/// A network that is unlike Decomp Diffusion's in all that may differ: images that are not square, a label, a null label that is not zero,
/// outputs that are twice as wide as images, any prediction. A row's output is W2 (W1 x + label + time) + bias, pixel by pixel.
/// </summary>
internal sealed class LabelledNetwork(Prediction predicts, int salt = 0) : IDenoiser
{
    public const string Label = "label";

    public static readonly float[] NullLabel = [0.5f, -0.25f, 0.125f, 1];

    private static readonly float[] FinalBias = [0.1f, -0.2f, 0.3f, 0.4f];

    private readonly float[] first = [.. Enumerable.Range(0, 8).Select(i => 0.4f * MathF.Sin(i + 1 + salt))]; // [4, 2]
    private readonly float[] last = [.. Enumerable.Range(0, 16).Select(i => 0.3f * MathF.Cos(i + salt))]; // [4, 4]

    public int Height => 3;

    public int Width => 5;

    public int Channels => 2;

    public int OutputChannels => 4;

    public Prediction Predicts => predicts;

    public IReadOnlyList<ConditionInput> ConditionInputs { get; } = [new(Label, [4])];

    public int ImageLength => Height * Width * Channels;

    public void WriteNull(ConditionInput input, Span<float> destination) => NullLabel.CopyTo(destination);

    public Value Predict(
        Graph g, Value x, Timesteps t, IReadOnlyDictionary<string, Value> conditions, RowGroups groups, bool bias = true)
    {
        Value h = g.Conv2d(g.RepeatRows(x, groups), g.Constant("first", [4, 1, 1, 2], first), null);
        h = g.AddEmbedding(h, conditions[Label]);
        h = g.AddEmbedding(h, t.Embed(g, times => g.TimestepEmbedding(times, 4), groups));
        return g.Conv2d(g.SumRows(h, groups), g.Constant("last", [4, 1, 1, 4], last), bias ? Bias(g) : null);
    }

    public Value Bias(Graph g) => g.Constant("bias", [4], FinalBias);

    /// <summary>The output of one row, with the bias, in double precision: [H, W, 4].</summary>
    public double[] Row(IReadOnlyList<double> x, float t, float[] label)
    {
        Array64 time = Definition.Evaluate(new TimestepEmbedding(4), [new Array64([1], [t])]);
        double[] y = new double[Height * Width * 4];
        for (int p = 0; p < Height * Width; p++)
        {
            double[] h = [.. Enumerable.Range(0, 4)
                .Select(o => first[2 * o] * x[2 * p] + first[2 * o + 1] * x[2 * p + 1] + label[o] + time[o])];
            for (int o = 0; o < 4; o++) y[4 * p + o] = FinalBias[o] + Enumerable.Range(0, 4).Sum(i => last[4 * o + i] * h[i]);
        }
        return y;
    }

    /// <summary>The channels of an output that are the prediction: [H, W, 2].</summary>
    public double[] Mean(double[] output) => [.. Enumerable.Range(0, ImageLength).Select(i => output[4 * (i / 2) + i % 2])];
}

/// <summary>Asks for a label.</summary>
internal sealed record LabelCondition(params float[] Values) : ICondition
{
    public void Write(IDenoiser network, ConditionInput input, Span<float> destination) => Values.CopyTo(destination);
}
