using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Tests.Passes;

/// <summary>
/// A small random network of the shapes that U-Nets are made of, and its inputs: what does not depend on the factor,
/// repetition, residual blocks of all kinds, attention, skips by concatenation, constant parts, views, a state.
/// </summary>
internal sealed class RandomNetwork
{
    private readonly Random random;
    private readonly Dictionary<string, float[]> feeds = [];
    private int names;

    public RandomNetwork(int seed)
    {
        random = new Random(seed);
        Build();
    }

    public Graph Graph { get; } = new();

    /// <summary>Writes the inputs, runs twice, and reads all outputs and the state.</summary>
    public Dictionary<string, float[]> Run(IDevice device, Graph graph, CompileOptions options)
    {
        using IExecutable executable = device.Compile(graph, options);
        foreach ((string name, float[] data) in feeds) executable.Write(name, data);
        executable.Write("step", [0]);
        executable.Run();
        executable.Run();
        var results = new Dictionary<string, float[]>();
        foreach (string name in graph.Outputs.Keys.Append("x"))
        {
            Value value = graph.Outputs.TryGetValue(name, out Value? output) ? output : graph.Inputs[name];
            float[] data = new float[value.Shape.Count];
            executable.Read(name, data);
            results.Add(name, data);
        }
        return results;
    }

    private void Build()
    {
        Graph g = Graph;
        int images = random.Next(1, 3), size = 4 * random.Next(1, 3), width = 4 * random.Next(1, 3), c = 16;
        var groups = RowGroups.Mean(images, random.Next(1, 4));
        Value x = g.State("x", [images, size, width, 3]);
        feeds["x"] = Numbers(x.Shape, 1);
        Value step = g.State("step", [1], DType.I32);
        Value z = Input("z", [groups.Rows, 6]);

        // Constant: the time embedding of every step.
        Value times = Linear(g.Silu(Linear(g.TimestepEmbedding(g.Constant("t", [3], [900, 500, 100]), 8), 12)), 10);
        Value time = g.TableRow(times, step);
        Value e = g.Add(g.RepeatRows(time, new RowGroups([groups.Rows], [.. Enumerable.Repeat(1f, groups.Rows)])), Linear(z, 10));

        Value h = Conv(g.RepeatRows(x, groups), c, 3);
        if (Flip()) h = g.Relu(BatchNorm(h));
        var skips = new List<Value> { h };
        for (int i = 0; i < 3; i++)
        {
            bool down = h.Shape[1] > 2 && h.Shape[2] > 2 && Flip();
            h = Block(h, e, 16 * random.Next(1, 3), down ? -1 : 0);
            if (Flip()) h = Attend(h);
            skips.Add(h);
        }
        for (int i = skips.Count - 1; i >= 0; i--)
        {
            while (h.Shape[1] < skips[i].Shape[1]) h = Block(h, e, h.Shape[3], 1);
            h = Block(g.Concat(h, skips[i]), e, 16, 0);
        }
        if (Flip()) g.Output("features", g.Reshape(h, [h.Shape[0], (int)(h.Shape.Count / h.Shape[0])]));
        if (Flip()) g.Output("pooled", g.Silu(g.AvgPool2d(Norm(h, null))));
        Value last = g.SumRows(Norm(h, null), groups);
        Value table = g.Constant("table", [3, 5], Numbers([3, 5], 0.5));
        Value next = g.DenoiseStep(Conv(last, 3, 3), x, table, step, Flip() ? g.RandomNormal(x.Shape, step, 3, 1) : null, clip: Flip());
        g.Output("next", next);
        g.Assign(x, next);
        g.Assign(step, g.NextStep(step));
        g.Silu(Linear(z, 5), "dead");
    }

    private Value Block(Value x, Value e, int channels, int resample)
    {
        Graph g = Graph;
        Value Resampled(Value v) => resample > 0 ? g.UpsampleNearest(v) : resample < 0 ? g.AvgPool2d(v) : v;
        Value h = Conv(Resampled(Norm(x, null)), channels, 3);
        bool film = Flip();
        if (film) h = Norm(h, Linear(g.Silu(e), 2 * channels));
        else h = Norm(g.AddEmbedding(h, Linear(g.Silu(e), channels)), null);
        h = Conv(h, channels, 3);
        Value skip = Resampled(x);
        if (skip.Shape[3] != channels) skip = Conv(skip, channels, 1);
        h = Flip() ? g.Add(skip, h) : g.Add(h, skip);
        return Flip() ? h : g.Silu(h);
    }

    private Value Attend(Value x) =>
        Graph.Add(x, Conv(Graph.Attention(Conv(Norm(x, null, Activation.None), 3 * x.Shape[3], 1), 2), x.Shape[3], 1));

    private Value Norm(Value x, Value? film, Activation activation = Activation.Silu) =>
        Graph.GroupNorm(x, Constant([x.Shape[3]], 1, 0.2), Constant([x.Shape[3]], 0, 0.2), 4, activation, film, name: Name("norm"));

    private Value BatchNorm(Value x) =>
        Graph.BatchNorm(x, Constant([x.Shape[3]], 1, 0.2), Constant([x.Shape[3]]), Constant([x.Shape[3]]), Constant([x.Shape[3]], 2, 0.2));

    private Value Conv(Value x, int channels, int kernel) => Graph.Conv2d(
        x, Constant([channels, kernel, kernel, x.Shape[3]], 0, 1 / Math.Sqrt(kernel * kernel * x.Shape[3])), Flip() ? Constant([channels])
            : null, 1, kernel / 2, Name("conv"));

    private Value Linear(Value x, int outputs) =>
        Graph.Linear(x, Constant([outputs, x.Shape[1]], 0, 1 / Math.Sqrt(x.Shape[1])), Constant([outputs]), Name("linear"));

    private Value Constant(Shape shape, double mean = 0, double deviation = 1) =>
        Graph.Constant(Name("constant"), shape, Numbers(shape, deviation, mean));

    private Value Input(string name, Shape shape)
    {
        feeds[name] = Numbers(shape, 1);
        return Graph.Input(name, shape);
    }

    private float[] Numbers(Shape shape, double deviation, double mean = 0) =>
        [.. Enumerable.Range(0, (int)shape.Count).Select(_ => (float)(mean + deviation * Math.Sqrt(3) * (2 * random.NextDouble() - 1)))];

    private bool Flip() => random.Next(2) == 0;

    private string Name(string kind) => $"{kind}.{names++}";
}
