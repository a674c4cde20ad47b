using System.Text.Json;
using RawDiffusion.Cuda.Baselines;
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
        Assert.That(profile.TryGetProperty("seconds_waited_for_images", out _));
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
}
