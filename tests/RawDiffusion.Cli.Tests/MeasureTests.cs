using System.Text.Json;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Cuda.Baselines;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class MeasureTests
{
    [TestCase("step", 3)]
    [TestCase("decompose", 6)]
    public void Bench_tells_time_rate_and_memory(string what, int rows)
    {
        string[] bench = ["bench", "--checkpoint", Goldens.PathOf("A.pt"), "--what", what, "--threads", "1", "--repeat", "4", "--json"];
        JsonElement json = Rawdiffusion.Run(bench).Succeeded().Json, twice = Rawdiffusion.Run([.. bench, "--batch", "2"]).Succeeded().Json;
        JsonElement seconds = json.GetProperty("seconds_per_step");
        double[] spread = [.. new[] { "min", "lower_quartile", "median", "upper_quartile", "max" }.Select(
            n => seconds.GetProperty(n).GetDouble())];
        Assert.That(spread, Is.Ordered);
        double gflop = json.GetProperty("gflop_per_step").GetDouble();
        Assert.That(gflop, Is.EqualTo(rows * 0.674).Within(5).Percent); // 0.67 GFLOP a factor evaluation
        Assert.That(json.GetProperty("gflops").GetDouble(), Is.EqualTo(gflop / spread[2]).Within(1e-6));
        Assert.That(twice.GetProperty("gflop_per_step").GetDouble(), Is.EqualTo(2 * gflop).Within(1).Percent);
        Assert.That(twice.GetProperty("executable_bytes").GetInt64(), Is.GreaterThan(json.GetProperty("executable_bytes").GetInt64()));
        Assert.That(json.GetProperty("peak_memory_bytes").GetInt64(), Is.GreaterThan(json.GetProperty("executable_bytes").GetInt64()));
    }

    [Test]
    public void Bench_and_profile_measure_training_steps()
    {
        string[] options = ["--checkpoint", Goldens.PathOf("A.pt"), "--what", "train", "--threads", "1", "--repeat", "2", "--json"];
        JsonElement bench = Rawdiffusion.Run(["bench", "--batch", "2", .. options]).Succeeded().Json, sampling = Rawdiffusion.Run(
            "bench", "--checkpoint", Goldens.PathOf("A.pt"), "--batch", "2", "--threads", "1", "--repeat", "2", "--json").Succeeded().Json;
        // Forward, and twice as much backward.
        Assert.That(bench.GetProperty("gflop_per_step").GetDouble(),
            Is.GreaterThan(2.5 * sampling.GetProperty("gflop_per_step").GetDouble()));
        JsonElement profile = Rawdiffusion.Run(["profile", .. options]).Succeeded().Json;
        Assert.That(profile.GetProperty("kernels").EnumerateArray().Select(k => k.GetProperty("kernel").GetString()), Does.Contain("adam"));
        Assert.That(profile.GetProperty("seconds_waited_for_images").GetDouble(), Is.GreaterThanOrEqualTo(0));
        Rawdiffusion.Run("profile", "--preset", "tetris", "--data", "tetris").Failed(2, "--data goes with --what train");
    }

    [Test]
    public void Bench_measures_presets_and_more_steps_than_the_chain_has()
    {
        Rawdiffusion.Run("bench", "--preset", "tetris", "--threads", "1", "--repeat", "1").Succeeded();
        Outcome outcome = Rawdiffusion.Run("bench", "--checkpoint", Goldens.PathOf("A.pt"), "--threads", "1", "--repeat", "50").Succeeded();
        Assert.That(outcome.Out, Does.Contain("seconds per step  median").And.Contain("GFLOP/s").And.Contain("peak"));
        Rawdiffusion.Run("bench").Failed(2, "--checkpoint FILE or --preset NAME");
        Rawdiffusion.Run("bench", "--preset", "clevr", "--checkpoint", "x.pt").Failed(2, "either");
        Rawdiffusion.Run("bench", "--preset", "imagenet").Failed(2, "'imagenet'", "clevr, celebahq");
    }

    [Test]
    public void Profile_lists_nodes_and_kernels()
    {
        string[] profile = ["profile", "--checkpoint", Goldens.PathOf("A.pt"), "--threads", "1", "--repeat", "3"];
        JsonElement json = Rawdiffusion.Run([.. profile, "--json"]).Succeeded().Json;
        JsonElement[] nodes = [.. json.GetProperty("nodes").EnumerateArray()], kernels = [.. json.GetProperty("kernels").EnumerateArray()];
        Assert.That(nodes.Select(n => n.GetProperty("name").GetString()), Does.Contain("middle_block.1.attention"));
        Assert.That(kernels.Sum(k => k.GetProperty("calls").GetInt32()), Is.EqualTo(nodes.Length));
        Assert.That(kernels.Sum(k => k.GetProperty("seconds").GetDouble()), Is.EqualTo(json.GetProperty("seconds").GetDouble())
            .Within(1e-9));
        Assert.That(Rawdiffusion.Run(profile).Succeeded().Out, Does.Contain("input_blocks.0.0").And.Contain("100.0%"));
    }

    [TestCase("auto")]
    [TestCase("cpu")]
    [TestCase("emulated")]
    public void Only_a_GPU_is_compared_with_NVIDIAs_libraries(string device) =>
        Rawdiffusion.Run("profile", "--checkpoint", Goldens.PathOf("A.pt"), "--compare", "--device", device)
        .Failed(2, "--compare", $"found --device {device}", "use --device cuda");

    [Test]
    public void A_comparison_without_the_libraries_says_which_is_missing()
    {
        if (NvidiaBaseline.Missing is not { } missing)
        {
            Assert.Ignore("this machine has cuDNN and cuBLAS");
            return;
        }
        Rawdiffusion.Run("profile", "--checkpoint", Goldens.PathOf("A.pt"), "--compare", "--device", "cuda")
            .Failed(1, "--compare", "was not found", missing);
    }

    [Test]
    public void Profile_writes_a_timeline()
    {
        using var workspace = new Workspace();
        string file = workspace.PathOf("trace.json");
        JsonElement json = Rawdiffusion.Run("profile", "--checkpoint", Goldens.PathOf("A.pt"), "--threads", "1", "--repeat", "2", "--trace",
            file, "--json").Succeeded().Json;
        using var trace = JsonDocument.Parse(File.ReadAllBytes(file));
        JsonElement[] slices = [.. trace.RootElement.GetProperty("traceEvents").EnumerateArray()
            .Where(e => e.GetProperty("ph").GetString() == "X")];
        Assert.That(slices.Select(s => s.GetProperty("name").GetString()),
            Is.EqualTo(json.GetProperty("nodes").EnumerateArray().Select(n => n.GetProperty("name").GetString())));
        double end = 0;
        foreach (JsonElement slice in slices)
        {
            Assert.That(slice.GetProperty("ts").GetDouble(), Is.EqualTo(end).Within(1e-6));
            end += slice.GetProperty("dur").GetDouble();
        }
        Assert.That(end, Is.EqualTo(1e6 * json.GetProperty("seconds").GetDouble()).Within(1e-3));
    }

    [Test]
    public void Doctor_tells_what_it_found()
    {
        Outcome outcome = Rawdiffusion.Run("doctor").Succeeded();
        foreach (string part in new[] { ".NET 10", "SIMD", "GPU driver", "NVRTC", "kernel cache", "prebuilt kernels", "cuBLAS", "cuDNN",
            "shapes.safetensors", "sample.png", "cpu (" })
        {
            Assert.That(outcome.Out, Does.Contain(part).IgnoreCase);
        }

        Assert.That(Rawdiffusion.Run("doctor", "--json").Succeeded().Json.GetProperty("default_model").GetString(),
            Does.EndWith("shapes.safetensors"));
    }

    [TestCase("off", "NVRTC was not looked for; RAWDIFFUSION_NVRTC is off: unset it")]
    [TestCase("/nowhere/libnvrtc.so",
        "NVRTC was not found (tried /nowhere/libnvrtc.so); RAWDIFFUSION_NVRTC names it: correct it, or unset it")]
    public void Doctor_tells_that_NVRTC_was_chosen(string chosen, string expected) =>
        Assert.That(Rawdiffusion.RunProcess(["doctor"], (NativeLibraryFile.NvrtcVariable, chosen)).Succeeded().Out, Does.Contain(expected));

    [Test]
    public void Presets_are_architectures_that_their_own_weights_tell()
    {
        foreach (string name in Presets.Names)
        {
            UNetConfig config = Presets.Get(name);
            using TensorFile weights = RandomWeights.Of(DecompTensors.Of(config));
            Assert.That(ArchitectureInference.Infer(weights), Is.EqualTo(config), name);
        }
        // The golden configuration C is the published CLEVR model.
        Assert.That(DecompTensors.ParameterCount(Presets.Get("clevr")), Is.EqualTo(31_691_459));
    }

    [Test]
    public void Random_weights_are_as_PyTorch_initialises_layers()
    {
        IReadOnlyList<NetworkTensor> tensors = DecompTensors.Of(Presets.Get("tetris"));
        using TensorFile weights = RandomWeights.Of(tensors), other = RandomWeights.Of(tensors, seed: 1);
        float[] conv = weights["input_blocks.1.0.in_layers.2.weight"]
            .ToSingles(), bias = weights["input_blocks.1.0.in_layers.2.bias"].ToSingles();
        double bound = 1 / Math.Sqrt(64 * 9);
        Assert.That(conv.Max(MathF.Abs), Is.LessThanOrEqualTo(bound).And.GreaterThan(0.99 * bound));
        Assert.That(conv.Average(), Is.Zero.Within(0.02 * bound));
        Assert.That(bias.Max(MathF.Abs), Is.LessThanOrEqualTo(bound).And.GreaterThan(0.8 * bound));
        Assert.That(weights["out.0.weight"].ToSingles(), Is.All.EqualTo(1));
        Assert.That(weights["out.0.bias"].ToSingles(), Is.All.EqualTo(0));
        Assert.That(weights["latent_encoder.2.bn1.running_mean"].ToSingles(), Is.All.EqualTo(0));
        Assert.That(weights["latent_encoder.2.bn1.running_var"].ToSingles(), Is.All.EqualTo(1));
        Assert.That(other["input_blocks.1.0.in_layers.2.weight"].ToSingles(), Is.Not.EqualTo(conv));
    }

    [Test]
    public void The_models_that_ship_are_trained_and_small()
    {
        string folder = Path.GetDirectoryName(DefaultFiles.Model())!;
        string[] files = Directory.GetFiles(folder, "*.safetensors");
        Assert.That(files, Has.Length.GreaterThanOrEqualTo(2));
        Assert.That(files.Sum(f => new FileInfo(f).Length), Is.LessThan(12_000_000));
        foreach (string file in files)
        {
            using TensorFile weights = SafeTensors.Open(file);
            Assert.That(weights.Metadata["rawdiffusion.trained"], Is.EqualTo("true"), file);
            Assert.That(ArchitectureInference.Infer(weights).ImageSize, Is.EqualTo(32), file);
        }
    }

    /// <summary>What their cards say (weights/README.md), on a few images that training does not have.</summary>
    [TestCase("shapes")]
    [TestCase("sos")]
    public void The_models_that_ship_draw_each_object_in_a_factor_of_its_own(string set)
    {
        using var workspace = new Workspace();
        string model = Path.Combine(Path.GetDirectoryName(DefaultFiles.Model())!, $"{set}.safetensors");
        JsonElement json = Rawdiffusion.Run("evaluate", "--checkpoint", model, "--data", set, "--count", "12", "--steps", "20", "--threads",
            "1", "--out", workspace.Out, "--json").Succeeded().Json;
        Assert.That(json.GetProperty("reconstruction").GetProperty("psnr").GetDouble(), Is.GreaterThan(25));
        Assert.That(json.GetProperty("objects").GetProperty("found").GetDouble(), Is.GreaterThan(0.7));
    }

    /// <summary>But for what vectors of another width round differently.</summary>
    [Test]
    public void The_picture_of_the_readme_is_what_the_command_draws()
    {
        using var workspace = new Workspace();
        Rawdiffusion.Run("decompose", "--threads", "1", "--out", workspace.Out).Succeeded();
        Image drawn = ImageFile.Read(Path.Combine(workspace.Out, "sample.png"));
        Image shown = ImageFile.Read(Path.Combine(Path.GetDirectoryName(DefaultFiles.Model())!, "decomposition.png"));
        Assert.That((drawn.Width, drawn.Height), Is.EqualTo((shown.Width, shown.Height)));
        Assert.That(drawn.Samples.Zip(shown.Samples, (d, s) => Math.Abs(d - s)).Max(), Is.LessThanOrEqualTo(2));
    }

    [Test]
    public void Quartiles_are_interpolated()
    {
        Assert.That(Spread.Of([4, 1, 3, 2]), Is.EqualTo(new Spread(1, 1.75, 2.5, 3.25, 4)));
        Assert.That(Spread.Of([7]), Is.EqualTo(new Spread(7, 7, 7, 7, 7)));
    }
}
