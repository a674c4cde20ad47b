using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Tests;

/// <summary>One of each kernel, in a graph that samples.</summary>
internal static class Network
{
    public static Graph Make()
    {
        var g = new Graph();
        var groups = RowGroups.Mean(2, 3);
        Value x = g.State("x", [2, 16, 16, 3], initial: d => d.Fill(0.5f)), step = g.State("step", [1], DType.I32), last = g.State(
            "last", [2, 16, 16, 3]), before = g.State("before", [2, 16, 16, 3]);
        Value z = g.Input("z", [6, 4]);
        Value e = g.Linear(g.Silu(g.Linear(z, Weight(g, 16, 4), null)), Weight(g, 16, 16), null);
        Value h = g.RepeatRows(g.Conv2d(x, Weight(g, 16, 3, 3, 3), null, 1, 1), groups);
        Value skip = h;
        h = g.AddEmbedding(g.Conv2d(g.AvgPool2d(Norm(g, h)), Weight(g, 16, 3, 3, 16), null, 1, 1), e);
        h = g.Add(h, g.Conv2d(g.Attention(g.Conv2d(Norm(g, h), Weight(g, 48, 1, 1, 16), null), 2), Weight(g, 16, 1, 1, 16), null));
        h = g.Conv2d(Norm(g, g.Concat(g.UpsampleNearest(h), skip)), Weight(g, 16, 3, 3, 32), null, 1, 1);
        h = g.Conv2d(g.SumRows(Norm(g, h), groups), Weight(g, 3, 3, 3, 16), null, 1, 1);
        Value table = g.Constant("table", [3, 5], [1, 1, 0.5f, 0.5f, 0.1f, 1, 1, 0.5f, 0.5f, 0.1f, 1, 1, 0.5f, 0.5f, 0.1f]);
        g.Assign(x, g.DenoiseStep(h, x, table, step, g.RandomNormal(x.Shape, step, 1, 2)));
        g.Assign(step, g.NextStep(step));
        g.Assign(last, before);
        g.Assign(before, last);
        g.Output("mean", h);
        g.Output("time", g.Add(g.Reshape(g.TimestepEmbedding(g.Reshape(g.TableRow(table, step), [5]), 4), [20]),
            g.Constant("c", [20], new float[20])));
        return g;
    }

    private static Value Norm(Graph g, Value x) => g.GroupNorm(
        x, g.Constant("gamma", [x.Shape[3]], d => d.Fill(1)), g.Constant("beta", [x.Shape[3]], d => d.Fill(0.1f)), 16, Activation.Silu);

    private static Value Weight(Graph g, params ReadOnlySpan<int> shape) => g.Constant("w", Shape.Create(shape), d =>
    {
        for (int i = 0; i < d.Length; i++) d[i] = 0.1f * MathF.Sin(i);
    });
}
