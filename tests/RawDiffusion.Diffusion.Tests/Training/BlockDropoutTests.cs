using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>Where a training step drops activations, and which.</summary>
public sealed class BlockDropoutTests
{
    private static readonly UNetConfig Network = Runs.Config.NetworkFor(16);

    [Test]
    public void Each_residual_block_drops_before_its_last_convolution_from_a_stream_of_its_own()
    {
        Graph graph = GraphOf(new TrainingOptions { BatchSize = 2, Dropout = 0.1 });
        Node[] forward = [.. graph.Nodes.Where(n => n.Operator is Dropout && n.Name.EndsWith(".out_layers.2", StringComparison.Ordinal))];
        string[] blocks = [.. DecompTensors.Of(Network).Where(e => e.Name.EndsWith(".out_layers.3.weight", StringComparison.Ordinal))
            .Select(e => e.Name[..^".3.weight".Length])];
        Assert.That(blocks, Has.Length.GreaterThan(5));
        Assert.That(forward.Select(n => n.Name[..^2]), Is.EquivalentTo(blocks));
        Assert.That(forward.Select(n => ((Dropout)n.Operator).Stream).Distinct().Count(), Is.EqualTo(blocks.Length));
        foreach (Node node in forward)
        {
            Assert.That(node.Input(0).Producer!.Operator, Is.TypeOf<GroupNorm>(), node.Name);
            Assert.That(graph.Nodes.Any(n => n.Operator is Conv2d && n.Input(0) == node.Output), node.Name);
        }
        Node[] all = [.. graph.Nodes.Where(n => n.Operator is Dropout)];
        Assert.That(all, Has.Length.EqualTo(2 * blocks.Length), "gradients drop the same");
        Assert.That(all.Select(n => n.Operator).Distinct().Count(), Is.EqualTo(blocks.Length));
    }

    [Test]
    public void Without_dropout_the_step_is_as_it_was() =>
        Assert.That(GraphOf(new TrainingOptions { BatchSize = 2 }).Nodes.Any(n => n.Operator is Dropout), Is.False);

    /// <summary>Processes and parts begin where those before them end: together they drop what one batch of all would.</summary>
    [Test]
    public void Each_image_of_all_processes_and_parts_has_a_mask_of_its_own()
    {
        const int World = 2, Parts = 2, Batch = 6;
        var rows = GraphOf(new TrainingOptions { BatchSize = World * Batch, Dropout = 0.1 }).Nodes
            .Where(n => n.Operator is Dropout).DistinctBy(n => n.Operator)
            .ToDictionary(n => ((Dropout)n.Operator).Stream, n => n.Output.Shape.Count / (World * Batch));
        for (int rank = 0; rank < World; rank++)
        {
            Graph graph = GraphOf(new TrainingOptions { BatchSize = Batch, Accumulate = Parts, World = World, Rank = rank, Dropout = 0.1 });
            foreach ((uint stream, long image) in rows)
            {
                long[] places = [.. graph.Nodes.Select(n => n.Operator).OfType<Dropout>().Where(d => d.Stream == stream)
                    .Select(d => d.First).Distinct().Order()];
                Assert.That(places, Is.EqualTo(Enumerable.Range(0, Parts).Select(part => (rank * Batch + part * Batch / Parts) * image)),
                    $"process {rank}, stream {stream}");
            }
        }
    }

    private static Graph GraphOf(TrainingOptions options) => new TrainingGraph(Network, options).Graph;
}
