using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>A small network that uses all layers declares each of its tensors once; all else follows from that.</summary>
public sealed class ManifestTests
{
    private const int Size = 2, Labels = 3, Width = 4;

    private static readonly IReadOnlyList<NetworkTensor> Tensors = Manifest.Of((g, weights) => Append(g, weights));

    [Test]
    public void Tensors_are_listed_in_the_order_of_their_declaration_each_once() =>
        Assert.That(Tensors.Select(t => $"{t.Name} [{string.Join(", ", t.Shape)}] {t.Layout} {t.Kind}"), Is.EqualTo(new[]
        {
            "label_emb.weight [4, 3] [4, 3] Parameter",
            "in.weight [4, 2, 3, 3] [4, 3, 3, 2] Parameter", "in.bias [4] [4] Parameter",
            "bn.weight [4] [4] Parameter", "bn.bias [4] [4] Parameter", "bn.running_mean [4] [4] Statistic",
            "bn.running_var [4] [4] Statistic", "bn.num_batches_tracked [] [] Counter",
            "qkv.weight [4, 4, 1] [4, 1, 1, 4] Parameter", "qkv.bias [4] [4] Parameter",
            "norm.weight [4] [4] Parameter", "norm.bias [4] [4] Parameter",
            "out.weight [5, 16] [5, 16] Parameter", "out.bias [5] [5] Parameter",
        }));

    [Test]
    public void An_untrained_network_begins_as_PyTorch_does()
    {
        using TensorFile file = RandomWeights.Of(Tensors, 5);
        Assert.That(file.Names, Is.EqualTo(Tensors.Select(t => t.Name)));
        foreach (string layer in (string[])["norm", "bn"])
        {
            Assert.That(file[$"{layer}.weight"].ToSingles(), Is.All.EqualTo(1));
            Assert.That(file[$"{layer}.bias"].ToSingles(), Is.All.Zero);
        }
        Assert.That(file["bn.running_mean"].ToSingles(), Is.All.Zero);
        Assert.That(file["bn.running_var"].ToSingles(), Is.All.EqualTo(1));
        Assert.That(file["bn.num_batches_tracked"].ToInt64s(), Is.EqualTo(new[] { 0L }));
        foreach ((string layer, int fanIn) in ((string, int)[])[("in", 18), ("qkv", 4), ("out", 16)])
        {
            double bound = 1 / Math.Sqrt(fanIn);
            float[] all = [.. file[$"{layer}.weight"].ToSingles(), .. file[$"{layer}.bias"].ToSingles()];
            Assert.That(all.Max(Math.Abs), Is.InRange(0.7 * bound, bound), layer);
            Assert.That(all.Distinct().Count(), Is.GreaterThan(all.Length / 2), layer);
        }
    }

    [Test]
    public void Layouts_of_the_engine_are_channels_last_and_go_back()
    {
        Check("in.weight", (o, i) => (o * 2 + i % 2) * 9 + i / 2); // element i of output o
        Check("out.weight", (o, i) => o * 16 + i % 4 * 4 + i / 4);
        Check("qkv.weight", (o, i) => o * 4 + i);

        static void Check(string name, Func<int, int, int> stored)
        {
            NetworkTensor tensor = Tensors.Single(t => t.Name == name);
            float[] values = [.. Enumerable.Range(0, (int)tensor.Count)], original = [.. values];
            int row = values.Length / tensor.Shape[0];
            tensor.ToEngine(values);
            Assert.That(values, Is.EqualTo(original.Select((_, i) => (float)stored(i / row, i % row))), name);
            tensor.ToCheckpoint(values);
            Assert.That(values, Is.EqualTo(original), name);
        }
    }

    [Test]
    public void A_layout_that_is_no_other_order_is_only_read()
    {
        var tensor = new NetworkTensor("kernel", [2], [4]) { Arrange = (stored, values) => stored.CopyTo(values[1..]) };
        float[] values = [5, 6, 7, 8];
        tensor.ToEngine(values);
        Assert.That(values, Is.EqualTo(new[] { 0, 5, 6, 0 }));
        Assert.That(() => tensor.ToCheckpoint(values), Throws.InvalidOperationException.With.Message.Contains("kernel"));
    }

    /// <summary>The same network from a file's constants and from a training state of the same numbers.</summary>
    [Test]
    public void A_file_and_a_training_state_of_its_numbers_are_the_same_network()
    {
        using TensorFile file = RandomWeights.Of(Tensors, 7);
        float[] constant = Run(new CheckpointWeights(file), _ => { });
        var trainable = new TrainableWeights(Tensors);
        float[] trained = Run(trainable, executable =>
        {
            float[] state = new float[Adam.Rows * trainable.Layout.Count];
            foreach (NetworkTensor parameter in trainable.Parameters)
            {
                Span<float> values = state.AsSpan((int)trainable.OffsetOf(parameter), (int)parameter.Count);
                file[parameter.Name].CopyTo(values);
                parameter.ToEngine(values);
            }
            executable.Write(TrainableWeights.StateName, state);
            foreach (NetworkTensor statistic in trainable.Statistics) executable.Write(statistic.Name, file[statistic.Name].ToSingles());
        });
        Assert.That(constant, Is.Not.All.Zero);
        Assert.That(trained, Is.EqualTo(constant).Within(1e-6));
    }

    private static float[] Run(IWeights weights, Action<IExecutable> write)
    {
        var g = new Graph();
        Value y = Append(g, weights);
        g.Output("y", y);
        using IExecutable executable = GoldenModel.Device.Compile(g);
        write(executable);
        executable.Write("x", [.. Enumerable.Range(0, Size * Size * 2).Select(i => MathF.Sin(i))]);
        executable.Write("label", (float[])[0, 1, 0]);
        executable.Run();
        float[] result = new float[y.Shape.Count];
        executable.Read("y", result);
        return result;
    }

    private static Value Append(Graph g, IWeights weights)
    {
        (Value weight, Value? bias) = weights.Linear(g, "label_emb", Labels, Width, bias: false);
        Value label = g.Linear(g.Input("label", [1, Labels]), weight, bias);
        (weight, bias) = weights.Conv(g, "in", 2, Width, kernel: 3);
        Value h = g.AddEmbedding(g.Conv2d(g.Input("x", [1, Size, Size, 2]), weight, bias, padding: 1), label);
        (Value gamma, Value beta, Value mean, Value variance) = weights.BatchNorm(g, "bn", Width);
        h = g.BatchNorm(h, gamma, beta, mean, variance);
        (weight, bias) = weights.Conv1d(g, "qkv", Width, Width);
        h = g.Conv2d(h, weight, bias);
        (gamma, beta) = weights.Norm(g, "norm", Width);
        h = g.GroupNorm(h, gamma, beta, 1);
        (gamma, beta) = weights.Norm(g, "norm", Width); // shared by two layers
        h = g.GroupNorm(h, gamma, beta, 2);
        (weight, bias) = weights.FlattenedLinear(g, "out", Size * Size, Width, 5);
        return g.Linear(g.Reshape(h, [1, Size * Size * Width]), weight, bias);
    }
}
