using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests;

/// <summary>
/// Every operator's gradient rule: the gradients that <see cref="Engine.Gradients"/> appends, computed by the double-precision
/// definitions, against finite differences of the loss, and on every device against the definitions.
/// </summary>
public sealed class GradientsTests
{
    private static readonly RowGroups Groups = new([2, 0, 3], [0.5f, 0.5f, 0.2f, 0.3f, 0.5f]);

    private static readonly Dictionary<string, Func<Network, Value>> Networks = new()
    {
        ["residual block"] = n =>
        {
            Value x = n.Parameter([2, 5, 3, 4]), e = n.Graph.Linear(n.Parameter([2, 3]), n.Weight([8, 3]), n.Parameter([8]));
            Value h = n.Graph.GroupNorm(x, n.Parameter([4], 1), n.Parameter([4]), 2, Activation.Silu);
            h = n.Graph.Conv2d(h, n.Weight([4, 3, 3, 4]), n.Parameter([4]), padding: 1);
            h = n.Graph.GroupNorm(h, n.Parameter([4], 1), n.Parameter([4]), 2, Activation.Silu, film: e);
            h = n.Graph.Conv2d(h, n.Weight([6, 3, 3, 4]), null, padding: 1);
            return n.Graph.Add(n.Graph.Conv2d(x, n.Weight([6, 1, 1, 4]), n.Parameter([6])), h);
        },
        ["added embedding"] = n =>
        {
            Value x = n.Parameter([2, 3, 3, 2]), e = n.Graph.Silu(n.Parameter([2, 2]));
            return n.Graph.GroupNorm(n.Graph.AddEmbedding(x, e), n.Parameter([2], 1), n.Parameter([2]), 1);
        },
        ["strided convolution of an odd image"] = n =>
        n.Graph.Conv2d(n.Parameter([1, 5, 7, 3]), n.Weight([2, 3, 3, 3]), n.Parameter([2]), stride: 2, padding: 1),
        ["resampling and skips"] = n =>
        {
            Value x = n.Parameter([2, 5, 4, 3]);
            Value down = n.Graph.AvgPool2d(x);
            Value up = n.Graph.UpsampleNearest(n.Graph.Concat(down, down));
            return n.Graph.Slice(up, 1, 4);
        },
        ["attention"] = n => n.Graph.Attention(n.Parameter([2, 2, 3, 12]), 2),
        ["batch norm in training"] = n =>
        {
            Value x = n.Parameter([3, 2, 2, 4]), statistics = n.Graph.Apply(new BatchNormStatistics(), [x]);
            return n.Graph.Relu(n.Graph.Apply(new BatchNormTrain(), [x, n.Parameter([4], 1), n.Parameter([4]), statistics]));
        },
        ["factors"] = n =>
        {
            Value rows = n.Graph.RepeatRows(n.Parameter([3, 4]), Groups), x = n.Graph.RepeatRows(n.Parameter([3, 2, 2, 4]), Groups);
            return n.Graph.SumRows(n.Graph.AddEmbedding(x, rows), Groups);
        },
        ["rows"] = n =>
        {
            Value scaled = n.Graph.ScaleRows(n.Parameter([3, 4]), n.Graph.Constant("scale", [3], [1, 0, 0.5f]));
            return n.Graph.Dropout(n.Graph.Reshape(scaled, [2, 6]), n.Step, 0.4f, 1, 2);
        },
        ["a value that is read four times"] = n =>
        {
            Value x = n.Parameter([2, 3]), y = n.Graph.Silu(x);
            return n.Graph.Add(n.Graph.Add(y, y), n.Graph.Add(x, n.Graph.Silu(y)));
        },
    };

    private static IEnumerable<string> Names => Networks.Keys;

    [TestCaseSource(nameof(Names))]
    public void GradientsAreThoseOfFiniteDifferences(string name)
    {
        var network = new Network();
        Value output = Networks[name](network);
        Value loss = network.Graph.MseLoss(output, network.Target(output.Shape), network.Target([output.Shape[0]]));
        network.Check(name, loss);
    }

    [Test]
    public void OrthogonalityOfLatents()
    {
        var network = new Network();
        network.Check("orthogonality", network.Graph.PairwiseCosine(network.Parameter([2, 12]), 3));
    }

    [Test]
    public void AWrongGradientIsRejected()
    {
        var network = new Network();
        Value x = network.Parameter([4, 5]);
        Value loss = network.Graph.MseLoss(network.Graph.Silu(x), network.Target([4, 5]));
        Assert.Throws<ComparisonException>(() => network.Check("planted", loss, factor: 1.001));
    }

    [Test]
    public void WhatHasNoGradientSaysSo()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 4]), t = g.Input("t", [2]), other = g.Input("other", [1]);
        Value target = g.Constant("target", [2, 4], new float[8]);
        Value loss = g.MseLoss(g.Add(x, g.TimestepEmbedding(t, 4)), target);
        GraphException? error = Assert.Throws<GraphException>(() => Engine.Gradients.Of(g, loss, [t]));
        Assert.That(error!.Message, Does.Contain("TimestepEmbedding").And.Contain("no gradient rule"));
        error = Assert.Throws<GraphException>(() => Engine.Gradients.Of(g, loss, [other]));
        Assert.That(error!.Message, Does.Contain("does not depend on other"));
        error = Assert.Throws<GraphException>(() => Engine.Gradients.Of(g, x, [x]));
        Assert.That(error!.Message, Does.Contain("[1]").And.Contain("x [2, 4]"));
        // Targets get none, and a view of a part passes none on.
        error = Assert.Throws<GraphException>(() => Engine.Gradients.Of(g, g.MseLoss(target, x), [x]));
        Assert.That(error!.Message, Does.Contain("target"));
        Value part = g.View(g.Silu(x), [4], 2);
        error = Assert.Throws<GraphException>(() => Engine.Gradients.Of(g, g.MseLoss(part, g.Constant("c", [4], new float[4])), [x]));
        Assert.That(error!.Message, Does.Contain("part"));
    }

    /// <summary>A graph whose leaves are parameters with random values.</summary>
    private sealed class Network
    {
        private const double H = 1e-4;

        private readonly List<(Value Value, Array64 Data)> parameters = [];
        private readonly Dictionary<Value, Array64> leaves = [];
        private readonly Random random = new(7);

        public Network() => Step = Graph.Input("step", [1], DType.I32);

        public Graph Graph { get; } = new();

        public Value Step { get; }

        public Value Parameter(Shape shape, double mean = 0) => Make(shape, mean, 1);

        public Value Weight(Shape shape) => Make(shape, 0, Math.Sqrt((double)shape[0] / shape.Count));

        public Value Target(Shape shape)
        {
            Array64 data = Draw(shape, 0.5, 1);
            return Graph.Constant($"target{Graph.Values.Count}", shape, data.ToSingles());
        }

        public void Check(string name, Value loss, double factor = 1)
        {
            Value[] values = [.. parameters.Select(p => p.Value)];
            IReadOnlyList<Value> gradients = Engine.Gradients.Of(Graph, loss, values);
            Dictionary<Value, Array64> exact = Evaluate();
            for (int p = 0; p < values.Length; p++)
            {
                Array64 data = parameters[p].Data, found = exact[gradients[p]].Map(v => factor * v);
                Assert.That(gradients[p].Shape, Is.EqualTo(values[p].Shape), $"{name}: {values[p]}");
                var expected = new Array64(data.Shape);
                for (int i = 0; i < expected.Values.Length; i++)
                {
                    double kept = data[i];
                    data[i] = kept + H;
                    double above = Evaluate()[loss][0];
                    data[i] = kept - H;
                    expected[i] = (above - Evaluate()[loss][0]) / (2 * H);
                    data[i] = kept;
                }
                Close($"{name}: gradient by {values[p]} and finite differences", expected, found.Values,
                    Tolerances.Of("FiniteDifference", Precision.Float32));
            }
            foreach ((Value value, Value gradient) in values.Zip(gradients)) Graph.Output($"d {value.Name}", gradient);
            foreach (TestDevice device in TestDevices.OneOfEach) CheckDevice(name, device, values, gradients, exact);
        }

        private void CheckDevice(
            string name, TestDevice device, Value[] values, IReadOnlyList<Value> gradients, Dictionary<Value, Array64> exact)
        {
            using IExecutable executable = device.Device.Compile(Graph);
            foreach ((Value value, Array64 data) in parameters) executable.Write(value.Name, data.ToSingles());
            if (Graph.Nodes.Any(n => n.Inputs.Contains(Step))) executable.Write("step", (int[])[3]);
            executable.Run();
            foreach ((Value value, Value gradient) in values.Zip(gradients))
            {
                float[] found = new float[gradient.Shape.Count];
                executable.Read($"d {value.Name}", found);
                Close($"{name}: gradient by {value} on {device}", exact[gradient], OperatorContract.Widen(found),
                    Tolerances.Of("Gradients", device.Precision));
            }
        }

        private static void Close(string what, Array64 expected, double[] found, Tolerance tolerance) =>
            Comparer.RequireClose(what, OperatorContract.Dimensions(expected.Shape), expected.Values,
            OperatorContract.Dimensions(expected.Shape), found, tolerance);

        // All values of the graph, by the definitions.
        private Dictionary<Value, Array64> Evaluate()
        {
            var values = new Dictionary<Value, Array64>(leaves) { [Step] = new Array64([1], [3]) };
            foreach (Value value in Graph.Values)
            {
                if (value.Kind == ValueKind.Constant)
                {
                    float[] data = new float[value.Shape.Count];
                    value.Constant!(data);
                    values[value] = new Array64(value.Shape, OperatorContract.Widen(data));
                }
                else if (value.Producer is { } node)
                {
                    values[value] = Definition.Evaluate(node.Operator, [.. node.Inputs.Select(i => i is null ? null : values[i])]);
                }
            }
            return values;
        }

        private Value Make(Shape shape, double mean, double deviation)
        {
            Value value = Graph.Input($"p{parameters.Count}", shape);
            Array64 data = Draw(shape, mean, deviation);
            parameters.Add((value, data));
            leaves[value] = data;
            return value;
        }

        private Array64 Draw(Shape shape, double mean, double deviation) =>
            new Array64(shape).Map(_ => (float)(mean + deviation * Math.Sqrt(3) * (2 * random.NextDouble() - 1)));
    }
}
