using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Mpi.Tests;

/// <summary>R processes with batch b train as one process with batch R b; here the processes are threads.</summary>
public sealed class TrainingRanksTests
{
    private static IEnumerable<TestCaseData> Variants()
    {
        yield return new TestCaseData(2, ShortRun.Options).SetArgDisplayNames("two");
        yield return new TestCaseData(3, ShortRun.Options).SetArgDisplayNames("three");
        TrainingOptions all = ShortRun.Options with { UnconditionalProbability = 0.5, Downweight = true, LatentOrthogonality = true };
        yield return new TestCaseData(2, all with { Predicts = Prediction.Epsilon }).SetArgDisplayNames("two, everything else");
        yield return new TestCaseData(2, ShortRun.Options with { Dropout = 0.2 }).SetArgDisplayNames("two, dropout");
    }

    [TestCaseSource(nameof(Variants))]
    public void Many_processes_train_as_one(int size, TrainingOptions options)
    {
        ShortRun[] many = ThreadRanks.Run(size, ranks => ShortRun.Of(ranks, 2, 3, options));
        var one = ShortRun.Of(null, 2 * size, 3, options);
        RequireAlike(one, many[0]);
        foreach (ShortRun other in many.Skip(1))
        {
            Assert.That(other.State, Is.EqualTo(many[0].State), "all processes have the same bits");
            Assert.That(other.Losses, Is.EqualTo(many[0].Losses));
        }
    }

    [Test]
    public void The_first_process_makes_the_cache_of_images_and_the_others_use_it()
    {
        string folder = Directory.CreateTempSubdirectory("rawdiffusion-cache-").FullName;
        try
        {
            Formats.Images.ImageFile.WritePng(Path.Combine(folder, "a.png"), new Formats.Images.Image(20, 10, 3, 8, new byte[600]));
            var config = new RunConfig { Data = folder, Cache = Path.Combine(folder, "cache"), ImageSize = 8 };
            int[] there = ThreadRanks.Run(3, ranks =>
            {
                int found = -1;
                using ImageSet set = TrainingRanks.Cached(config, ranks, config.OpenImages(), (images, cache) =>
                {
                    found = Directory.Exists(cache) ? Directory.GetFiles(cache).Length : 0;
                    return CachedSet.Of(images, cache, message => Assert.Fail(message));
                });
                return found;
            });
            Assert.That(there, Is.EqualTo(new[] { 0, 1, 1 }));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void A_run_goes_on_with_another_number_of_processes()
    {
        var whole = ShortRun.Of(null, 4, 3);
        ShortRun first = ThreadRanks.Run(2, ranks => ShortRun.Of(ranks, 2, 1))[0];
        var rest = ShortRun.Of(null, 4, 2, from: first);
        RequireAlike(whole, rest with { Losses = [.. first.Losses, .. rest.Losses], Norms = [.. first.Norms, .. rest.Norms] });
    }

    /// <summary>Accumulated gradients are summed once, after the last part.</summary>
    [Test]
    public void Parts_of_batches_are_accumulated_before_they_are_summed()
    {
        Graph graph = GraphOf(ShortRun.Options with { BatchSize = 4, Accumulate = 2, World = 2 });
        int[] sums = [.. graph.Nodes.Where(n => n.Operator is AllReduce).Select(n => (int)n.Output.Shape.Count)
            .Where(count => count > 4096)];
        Assert.That(sums.Sum(), Is.EqualTo(new TrainableWeights(DecompTensors.Of(ConfigOf())).Layout.Count));
    }

    [Test]
    public void Sums_of_late_layers_start_while_early_layers_are_computed()
    {
        IReadOnlyList<Node> nodes = GraphOf(ShortRun.Options with { BatchSize = 2, World = 2 }).Nodes;
        int[] starts = [.. Places(n => n.Operator is AllReduce && n.Name.StartsWith("gradient.", StringComparison.Ordinal))];
        int[] weights = [.. Places(n => n.Operator is Conv2dGradWeight)], waits = [
            .. Places(n => n.Operator is AllReduceWait && n.Name.StartsWith("gradient.", StringComparison.Ordinal))];
        Assert.That(starts, Has.Length.InRange(4, 8));
        Assert.That(waits, Has.Length.EqualTo(starts.Length));
        Assert.That(weights.Count(w => w > starts[0]), Is.GreaterThan(weights.Length / 3),
            "convolutions whose gradients come after the first sum's start");
        Assert.That(waits.Min(), Is.GreaterThan(weights.Max()), "nothing waits before the last gradient is there");

        IEnumerable<int> Places(Predicate<Node> wanted) => Enumerable.Range(0, nodes.Count).Where(i => wanted(nodes[i]));
    }

    [Test]
    public void A_graph_for_several_processes_needs_as_many()
    {
        using var device = new Cpu.CpuDevice(1);
        GraphException? error = Assert.Throws<GraphException>(
            () => device.Compile(GraphOf(ShortRun.Options with { BatchSize = 2, World = 2 })));
        Assert.That(error!.Message, Does.Contain("2 processes").And.Contain("knows of 1"));
    }

    /// <summary>From start to wait, memory holds NaN.</summary>
    [Test]
    public void A_guard_does_not_look_at_sums_on_their_way()
    {
        float[][] sums = ThreadRanks.Run(2, ranks =>
        {
            using var device = new Cpu.CpuDevice(1, ranks: ranks);
            var g = new Graph();
            Value x = g.Input("x", [3]);
            g.Output("sum", g.AllReduce(g.Add(x, x), 2));
            using IExecutable executable = device.Compile(g, new CompileOptions { Guard = true });
            executable.Write("x", (float[])[1, 2, 3 + ranks.Rank]);
            executable.Run();
            float[] sum = new float[3];
            executable.Read("sum", sum);
            return sum;
        });
        Assert.That(sums, Is.All.EqualTo(new float[] { 4, 8, 14 }));
    }

    [Test]
    public void A_layouts_parts_side_by_side_are_the_layout([Values(1, 2, 8, 1000)] int parts)
    {
        ParameterLayout whole = new TrainableWeights(DecompTensors.Of(ConfigOf())).Layout;
        IReadOnlyList<ParameterLayout> split = whole.Split(parts);
        Assert.That(split, Has.Count.LessThanOrEqualTo(parts));
        long first = 0;
        var joined = new List<Parameter>();
        foreach (ParameterLayout part in split)
        {
            joined.AddRange(part.Parameters.Select(p => p with { Offset = first + p.Offset }));
            first += part.Count;
        }
        Assert.That(joined, Is.EqualTo(whole.Parameters));
        Assert.That(first, Is.EqualTo(whole.Count));
    }

    [TestCase(2, 2)]
    [TestCase(-1, 2)]
    [TestCase(0, 0)]
    public void A_process_that_is_not_among_all_is_refused(int rank, int world) =>
        Assert.Throws<GraphException>(() => GraphOf(ShortRun.Options with { Rank = rank, World = world }));

    internal static void RequireAlike(ShortRun expected, ShortRun found)
    {
        Comparer.RequireClose("losses", [.. expected.Losses.Select(x => (double)x)], [.. found.Losses.Select(x => (double)x)],
            Tolerance.Relative(2e-5));
        Comparer.RequireClose("norms", [.. expected.Norms.Select(x => (double)x)], [.. found.Norms.Select(x => (double)x)],
            Tolerance.Relative(1e-3));
        Comparer.RequireClose("state", [.. expected.State.Select(x => (double)x)], [.. found.State.Select(x => (double)x)],
            new Tolerance(1e-4, 1e-4, 0));
    }

    private static UNetConfig ConfigOf()
    {
        using TensorFile file = Checkpoint.Open(Goldens.PathOf("A.pt"), WeightSelection.Auto);
        return ArchitectureInference.Infer(file, new ArchitectureOverrides(NumHeadChannels: 16));
    }

    private static Graph GraphOf(TrainingOptions options) => new TrainingGraph(ConfigOf(), options).Graph;
}
