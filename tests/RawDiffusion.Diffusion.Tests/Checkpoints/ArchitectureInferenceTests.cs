using FsCheck;
using FsCheck.Fluent;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Tests.Models;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Checkpoints;

public sealed class ArchitectureInferenceTests
{
    [TestCase("A.pt")]
    [TestCase("A_bf16.pt")]
    [TestCase("B.pt")]
    [TestCase("B_legacy.pt")]
    [TestCase("B_ema.pt")]
    public void Golden_checkpoints_are_recognised(string file)
    {
        UNetConfig config = GoldenConfigs.Named(file[..1]);
        using TensorFile checkpoint = Checkpoint.Open(Goldens.PathOf(file), WeightSelection.Auto);
        Assert.That(ArchitectureInference.Infer(checkpoint, OverridesOf(config)), Is.EqualTo(config));
    }

    [Test]
    public void The_published_clevr_model_needs_no_override() =>
        Assert.That(ArchitectureInference.Infer(Shapes(GoldenConfigs.C)), Is.EqualTo(GoldenConfigs.C));

    [Test]
    public void Any_network_is_recognised_by_its_tensors() =>
        Prop.ForAll(
            AnyConfig.ToArbitrary(),
            config => ArchitectureInference.Infer(Shapes(config), OverridesOf(config)) == config)
        .Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Test]
    public void Any_tensor_that_is_missing_mis_shaped_or_too_much_is_an_error_that_names_it() =>
        Prop.ForAll(
            AnyConfig.ToArbitrary(),
            Gen.Choose(0, int.MaxValue - 1).ToArbitrary(),
            (config, choice) =>
            {
                IReadOnlyList<NetworkTensor> entries = DecompTensors.Of(config);
                NetworkTensor victim = entries[choice % entries.Count];
                foreach (int damage in Enumerable.Range(0, 3))
                {
                    Dictionary<string, IReadOnlyList<int>> shapes = Shapes(config);
                    string name = damage == 2 ? $"extra.{victim.Name}" : victim.Name;
                    if (damage == 0) shapes.Remove(name);
                    if (damage == 1) shapes[name] = [.. victim.Shape, 2];
                    if (damage == 2) shapes.Add(name, victim.Shape);
                    string message = Assert.Throws<CheckpointException>(
                        () => ArchitectureInference.Infer(shapes, OverridesOf(config)), name)!.Message;
                    bool named = message.Contains(name, StringComparison.Ordinal);
                    if (!named || message.Contains('\n', StringComparison.Ordinal) || message.Length > 1500)
                        Assert.Fail($"{name}: {message}");
                }
            }).Check(Config.QuickThrowOnFailure.WithMaxTest(200));

    [Test]
    public void Whatever_the_shapes_are_the_error_is_the_documented_one() =>
        Prop.ForAll(
            AnyConfig.ToArbitrary(),
            Gen.ArrayOf(Gen.Choose(0, int.MaxValue - 1), 12).ToArbitrary(),
            (config, numbers) =>
            {
                Dictionary<string, IReadOnlyList<int>> shapes = Shapes(config);
                string[] names = [.. shapes.Keys];
                // The clues are hit on purpose: most tensors only reach the comparison.
                string[] clues = ["time_embed.0.weight", "latent_encoder.15.weight", "latent_encoder.0.weight"];
                for (int i = 0; i < numbers.Length; i += 2)
                {
                    string name = i < 6 ? clues[i / 2] : names[numbers[i] % names.Length];
                    int[] shape = [.. shapes[name]];
                    if (shape.Length > 0) shape[numbers[i] % shape.Length] = numbers[i + 1] >> (numbers[i] % 31);
                    shapes[name] = shape;
                }
                shapes[$"output_blocks.{numbers[0]}.1.conv.weight"] = [1];
                shapes["output_blocks.40.0.x"] = [];
                Assert.Throws<CheckpointException>(() => ArchitectureInference.Infer(shapes, OverridesOf(config)));
            }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Test]
    public void The_error_lists_the_first_of_each_kind_and_the_counts()
    {
        Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.A);
        foreach (int i in Enumerable.Range(1, 4)) shapes.Add($"extra{i}\n\u001b[31m", [1]);
        shapes.Remove("out.0.bias");
        shapes["out.2.bias"] = [4];
        Assert.That(
            () => ArchitectureInference.Infer(shapes),
            Throws.TypeOf<CheckpointException>().With.Message.EqualTo(
                "the checkpoint does not match the architecture that its shapes suggest (32 channels x (1,2), 1 residual " +
                "blocks, 3 components, 190 tensors): 1 missing: out.0.bias; 4 unexpected: extra1??[31m, extra2??[31m, " +
                "extra3??[31m and 1 more; 1 mis-shaped: out.2.bias is [4] instead of [3]; nothing was loaded, use an " +
                "undamaged Decomp Diffusion checkpoint"));
    }

    [Test]
    public void A_foreign_checkpoint_is_told_what_is_missing_and_what_was_found()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                () => ArchitectureInference.Infer(new Dictionary<string, IReadOnlyList<int>> { ["conv1.weight"] = [64, 3, 7, 7] }),
                Throws.TypeOf<CheckpointException>().With.Message.EqualTo(
                    "expected a Decomp Diffusion checkpoint, but tensors that tell its architecture are missing: " +
                    "time_embed.0.weight, output_blocks.0.0.in_layers.2.weight, latent_encoder.15.weight; found 1 tensors: " +
                    "conv1.weight; use a checkpoint of the whole network"));
            Assert.That(
                () => ArchitectureInference.Infer(new Dictionary<string, IReadOnlyList<int>>()),
                Throws.TypeOf<CheckpointException>().With.Message.Contains("found no tensors"));
        }
    }

    [Test]
    public void The_image_size_defaults_to_the_largest_that_the_encoder_fits()
    {
        UNetConfig b = GoldenConfigs.B;
        Assert.That(ArchitectureInference.Infer(Shapes(b), new ArchitectureOverrides(NumHeads: 2)), Is.EqualTo(b with { ImageSize = 24 }));
    }

    [TestCase(16)]
    [TestCase(25)]
    [TestCase(-1)]
    public void An_image_size_that_the_encoder_does_not_fit_is_refused_with_the_range(int imageSize) =>
        Assert.That(
            () => ArchitectureInference.Infer(Shapes(GoldenConfigs.B), new ArchitectureOverrides(imageSize, NumHeads: 2)),
            Throws.TypeOf<CheckpointException>().With.Message.EqualTo(
                $"--image-size {imageSize} does not fit the checkpoint: its encoder ends in 3 x 3 pixels, so the images " +
                "have 17 to 24 pixels a side"));

    [Test]
    public void Heads_are_asked_for_where_the_usual_ones_do_not_fit()
    {
        Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.B);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                () => ArchitectureInference.Infer(shapes),
                Throws.TypeOf<CheckpointException>().With.Message.Contains("--num-heads or --num-head-channels"));
            Assert.That(
                () => ArchitectureInference.Infer(shapes, new ArchitectureOverrides(NumHeads: 3)),
                Throws.TypeOf<CheckpointException>().With.Message.Contains("3 heads do not divide an attention width of 32"));
            Assert.That(
                () => ArchitectureInference.Infer(shapes, new ArchitectureOverrides(NumHeads: 2, NumHeadChannels: 16)),
                Throws.TypeOf<CheckpointException>().With.Message.Contains("not both"));
            Assert.That(ArchitectureInference.Infer(Shapes(GoldenConfigs.A)).NumHeadChannels, Is.EqualTo(64));
        }
    }

    [TestCase("time_embed.0.weight", new[] { 16, 31 }, "multiple of the 31 columns of time_embed.0.weight, found 32")]
    [TestCase("time_embed.0.weight", new[] { 16, 0 }, "dimension 1 of time_embed.0.weight, found the shape [16, 0]")]
    [TestCase("time_embed.0.weight", new[] { 16, 1 }, "number of channels must be at least 2, found 1")]
    [TestCase("time_embed.0.weight", new[] { 8, 32 }, "1 mis-shaped: time_embed.0.weight is [8, 32] instead of [16, 32]")]
    [TestCase("latent_encoder.0.weight", new[] { 5, 3, 3, 3 }, "1 mis-shaped: latent_encoder.0.weight")]
    [TestCase("latent_encoder.15.weight", new[] { 48, 767 }, "48 x s x s columns")]
    [TestCase("latent_encoder.15.weight", new[] { 48, int.MaxValue }, "found the shape [48, 2147483647]")]
    [TestCase("latent_encoder.15.weight", new[] { 32, 768 }, "1 mis-shaped: latent_encoder.15.weight")]
    [TestCase("latent_encoder.15.bias", new[] { 47 }, "multiple of the 16 rows of time_embed.0.weight")]
    [TestCase("input_blocks.0.0.weight", new[] { 32, 3 }, "1 mis-shaped: input_blocks.0.0.weight is [32, 3]")]
    [TestCase("input_blocks.3.0.out_layers.3.weight", new[] { 48, 64, 3, 3 }, "1 mis-shaped: input_blocks.3.0.out_layers.3")]
    [TestCase("output_blocks.1.2.in_layers.2.weight", new[] { 1 }, "1 mis-shaped: output_blocks.1.2.in_layers.2.weight")]
    public void A_shape_that_contradicts_the_others_is_an_error_that_says_which(string name, int[] shape, string because)
    {
        Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.A);
        shapes[name] = shape;
        Assert.That(
            () => ArchitectureInference.Infer(shapes),
            Throws.TypeOf<CheckpointException>().With.Message.Contains(because));
    }

    [TestCase("t")]
    [TestCase("output_blocks.0.1.t")]
    public void Other_tensors_by_the_thousand_take_time_and_memory_in_proportion(string name)
    {
        (double small, double large) = (Measure(30_000), Measure(120_000));
        Assert.That(large, Is.LessThan(8 * small + 0.2));

        double Measure(int count)
        {
            Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.C);
            for (int i = 0; i < count; i++) shapes.Add($"{name}{i}", [1]);
            double best = double.MaxValue;
            for (int i = 0; i < 3; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                TimeSpan start = Environment.CpuUsage.TotalTime;
                Assert.That(() => ArchitectureInference.Infer(shapes),
                    Throws.TypeOf<CheckpointException>().With.Message.Contains($"{count} unexpected"));
                best = Math.Min(best, (Environment.CpuUsage.TotalTime - start).TotalSeconds);
                Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan((1 << 20) + 600L * count));
            }
            return best;
        }
    }

    [Test]
    public void Lost_blocks_at_the_end_are_listed_as_missing()
    {
        Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.C);
        foreach (string name in shapes.Keys.Where(name => name.StartsWith("output_blocks.8.", StringComparison.Ordinal)).ToArray())
            shapes.Remove(name);
        Assert.That(
            () => ArchitectureInference.Infer(shapes),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("12 missing: output_blocks.8.0.in_layers.0.weight"));
    }

    /// <summary>Without a change of resolution all blocks are one level's; the file need not hold them.</summary>
    [Test]
    public void More_blocks_than_any_network_has_are_refused_before_they_are_built()
    {
        Dictionary<string, IReadOnlyList<int>> shapes = Shapes(GoldenConfigs.A with { ChannelMult = [1], AttentionDownsamples = [] });
        int blocks = shapes.Count - 1;
        shapes.Add($"output_blocks.{blocks - 1}.0.x", [1]);
        Assert.That(
            () => ArchitectureInference.Infer(shapes),
            Throws.TypeOf<CheckpointException>().With.Message.Contains($"found {blocks} blocks in levels of {blocks}"));
    }

    private static Gen<UNetConfig> AnyConfig =>
        from levels in Gen.Choose(1, 4)
        from multiplied in Gen.ArrayOf(Gen.Choose(1, 4), levels)
        from channels in Gen.Elements(16, 32, 48, 64)
        from numResBlocks in Gen.Choose(1, 3)
        from halfEmbDim in Gen.Choose(1, 40)
        from encChannels in Gen.Choose(1, 20)
        from components in Gen.Choose(1, 8)
        from attention in Gen.ArrayOf(Gen.Elements(true, false), levels)
        from size in Gen.Choose(16, 128)
        from flags in Gen.Choose(0, 7)
        from imageChannels in Gen.Elements(1, 3)
        select new UNetConfig
        {
            // Odd sizes run in networks of one level only.
            ImageSize = size / (1 << (levels - 1)) * (1 << (levels - 1)),
            ImageChannels = imageChannels,
            Channels = channels,
            ChannelMult = multiplied,
            NumResBlocks = numResBlocks,
            EmbDim = 2 * halfEmbDim,
            EncChannels = encChannels,
            NumComponents = components,
            AttentionDownsamples = [.. Enumerable.Range(0, levels).Where(level => attention[level]).Select(level => 1 << level)],
            UseScaleShiftNorm = (flags & 1) != 0,
            ResBlockUpDown = (flags & 2) != 0 && levels > 1,
            NumHeads = (flags & 4) != 0 ? 2 : null,
            NumHeadChannels = (flags & 4) != 0 ? null : 16,
        };

    private static Dictionary<string, IReadOnlyList<int>> Shapes(UNetConfig config) =>
        DecompTensors.Of(config).ToDictionary(entry => entry.Name, entry => entry.Shape, StringComparer.Ordinal);

    private static ArchitectureOverrides OverridesOf(UNetConfig config) =>
        new(config.ImageSize, config.NumHeads, config.NumHeadChannels);
}
