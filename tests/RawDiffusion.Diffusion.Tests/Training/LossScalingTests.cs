using System.Security.Cryptography;
using System.Text.Json;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>A run with the loss scaling of fp16, on a device in float32: there a power of two changes no bit.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class LossScalingTests : IDisposable
{
    private const int Steps = 9;

    private static readonly RunConfig Plain = Runs.Config with
    {
        Training = Runs.Config.Training with
        {
            BatchSize = 4,
            Accumulate = 2,
            Steps = Steps,
            Adam = new() { MaxNorm = 0.5 },
            LatentOrthogonality = true,
            Dropout = 0.1,
            EmaRate = 0.9
        },
        LogEvery = 3,
        SaveEvery = 2,
        Keep = 20,
    };

    private static readonly RunConfig Scaled = Plain with { Precision = "fp16" };

    private readonly string root = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");
    private readonly List<string> told = [];

    public LossScalingTests() => Directory.CreateDirectory(root);

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Test]
    public void Only_a_scaled_loss_has_nodes_for_it()
    {
        Graph Of(RunConfig config) => new TrainingGraph(config.NetworkFor(16), TrainingRanks.OptionsOf(config, null)).Graph;
        Graph plain = Of(Plain), scaled = Of(Scaled);
        Assert.That(plain.Inputs.Keys, Does.Not.Contain(TrainingGraph.ScaleName));
        Assert.That(plain.Nodes.Where(n => n.Output.DType == DType.F32 && n.Operator is not AllReduce),
            Is.SubsetOf(NonFiniteException.Watched(plain)));
        // The update, and for each of two parts the scale, the scaled loss and its gradient.
        Assert.That(scaled.Nodes, Has.Count.EqualTo(plain.Nodes.Count + 7));
    }

    [Test]
    public void A_scaled_run_is_the_run_bit_for_bit()
    {
        Train("plain", Plain);
        Train("scaled", Scaled);
        Assert.That(Bytes("scaled", "model.safetensors"), Is.EqualTo(Bytes("plain", "model.safetensors")));
        Assert.That(Log("scaled"), Is.EqualTo(Log("plain")));
        using TensorFile saved = SafeTensors.Open(PathOf("scaled", "checkpoints/step-9.safetensors"));
        Assert.That(saved["loss_scale"].ToSingles(), Is.EqualTo(new float[] { 65536, Steps, 0 }));
    }

    /// <summary>The scale is so large that gradients overflow for some steps: they are skipped, and all else goes on.</summary>
    [Test]
    public void Steps_whose_gradients_overflow_are_skipped_and_a_run_goes_on_bit_for_bit()
    {
        Train("whole", Scaled, stopAfter: 2);
        Edit("whole", 2, state => state["loss_scale"] = Tensor.FromSingles([3], [TooLarge(), 1998, 0]));
        Dictionary<string, byte[]> before = StateOf("whole", 2);
        Copy("whole", "cut");
        Resume("whole");
        // In the middle of the skipped steps, and after them.
        Resume("cut", stopAfter: 4);
        Dictionary<string, byte[]> skipped = StateOf("cut", 4);
        foreach ((string name, byte[] bytes) in before.Where(e => e.Key.StartsWith("adam.") || Scaled.NetworkFor(16) is var n
            && DecompTensors.Of(n).Any(s => s.Kind == TensorKind.Parameter && e.Key.EndsWith("model." + s.Name, StringComparison.Ordinal))))
        {
            Assert.That(skipped[name], Is.EqualTo(bytes), $"{name} does not change in a skipped step");
        }

        Resume("cut", stopAfter: 7);
        Resume("cut");
        foreach (string file in (string[])["checkpoints/step-9.safetensors", "model.safetensors"])
            Assert.That(Bytes("cut", file), Is.EqualTo(Bytes("whole", file)), file);
        Assert.That(Log("cut"), Is.EqualTo(Log("whole")));
        using TensorFile last = SafeTensors.Open(PathOf("whole", "checkpoints/step-9.safetensors"));
        float[] scale = last["loss_scale"].ToSingles();
        Assert.That(scale[LossScale.Skipped], Is.InRange(2, 6), "some steps, but not all");
        Assert.That(scale[LossScale.Row], Is.EqualTo(Steps - 2 - scale[LossScale.Skipped]));
        Assert.That(StateOf("whole", 9)["online_model.out.2.weight"], Is.Not.EqualTo(before["online_model.out.2.weight"]));
        Assert.That(told, Has.Some.Contains("step 3: gradients overflow and the step is skipped"));
        JsonElement[] lines = [.. File.ReadLines(PathOf("whole", "log.jsonl")).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines.Sum(l => l.TryGetProperty("overflows", out JsonElement n) ? n.GetInt32() : 0),
            Is.EqualTo((int)scale[LossScale.Skipped]));
        Assert.That(lines.Select(l => l.GetProperty("loss").GetDouble()), Is.All.Matches<double>(double.IsFinite));
    }

    [Test]
    public void A_guard_does_not_stop_at_gradients_that_overflow()
    {
        Train("run", Scaled, stopAfter: 2);
        Edit("run", 2, state => state["loss_scale"] = Tensor.FromSingles([3], [TooLarge(), 0, 0]));
        RunConfigFile.Write(PathOf("run", "config.json"), Scaled with { Guard = true });
        Assert.That(Resume("run").Finished);
        Assert.That(told, Has.Some.Contains("the step is skipped"));
    }

    [Test]
    public void Gradients_that_overflow_without_a_scale_end_the_run()
    {
        Train("run", Scaled, stopAfter: 2);
        Edit("run", 2, state =>
        {
            state["loss_scale"] = Tensor.FromSingles([3], [2, 0, 0]);
            // The loss is finite still, its gradients' squares are not.
            foreach (string name in (string[])["online_model.out.2.weight"])
                state[name] = Tensor.FromSingles(state[name].Shape, [.. state[name].ToSingles().Select(x => 1e17f * (x + 0.01f))]);
        });
        TrainingException found = Assert.Throws<TrainingException>(() => Resume("run"))!;
        Assert.That(found.Message, Does.StartWith("step 4: the gradients overflow").And.Contain("checkpoint of step 2")
            .And.Contain("in another precision"));
        Assert.That(told, Has.Some.Contains("step 3: gradients overflow and the step is skipped; the loss is scaled by 1 from now on"));
    }

    // The largest norm that a sum of squares has in float32 is 1.8e19; norms of this network are of the size of 1.
    private static float TooLarge() => MathF.Pow(2, 68);

    private Runs.Result Train(string name, RunConfig config, int stopAfter = -1)
    {
        using var folder = RunFolder.Create(PathOf(name));
        return Runs.Train(folder, config, 1, stopAfter,
            (device, set) => TrainingRun.Begin(folder, config, device, set, null, "test", Tell));
    }

    private Runs.Result Resume(string name, int stopAfter = -1)
    {
        using var folder = RunFolder.Open(PathOf(name));
        RunConfig config = RunConfigFile.Read(folder.Config);
        return Runs.Train(folder, config, 1, stopAfter,
            (device, set) => TrainingRun.Resume(folder, config, device, set, () => null, "test", Tell));
    }

    // As if the run had come to this state by itself.
    private void Edit(string name, int step, Action<Dictionary<string, Tensor>> edit)
    {
        string path = PathOf(name, $"checkpoints/step-{step}.safetensors");
        Dictionary<string, Tensor> tensors;
        Dictionary<string, string> metadata;
        using (TensorFile file = SafeTensors.Open(path))
        {
            tensors = file.Names.ToDictionary(n => n, n => file[n].Type == TensorType.Float32
                ? Tensor.FromSingles(file[n].Shape, file[n].ToSingles()) : Tensor.FromInt64s(file[n].Shape, file[n].ToInt64s()));
            metadata = new(file.Metadata);
        }
        edit(tensors);
        SafeTensors.Write(path, [.. tensors], metadata);
        File.WriteAllText(path + ".sha256",
            $"{Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path)))}  {Path.GetFileName(path)}\n");
    }

    private Dictionary<string, byte[]> StateOf(string name, int step)
    {
        using TensorFile file = SafeTensors.Open(PathOf(name, $"checkpoints/step-{step}.safetensors"));
        return file.Names.ToDictionary(n => n, n => file[n].ToBytes());
    }

    private void Copy(string from, string to)
    {
        foreach (string file in Directory.GetFiles(PathOf(from), "*", SearchOption.AllDirectories)
            .Where(f => !f.EndsWith(".lock", StringComparison.Ordinal)))
        {
            string target = PathOf(to, Path.GetRelativePath(PathOf(from), file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    private void Tell(string message)
    {
        lock (told) told.Add(message);
    }

    private byte[] Bytes(string name, string file) => File.ReadAllBytes(PathOf(name, file));

    private string[] Log(string name) => [.. File.ReadLines(PathOf(name, "log.jsonl")).Select(line =>
    {
        using var json = JsonDocument.Parse(line);
        return string.Join(' ', ((string[])["step", "loss", "gradient_norm", "rate"])
            .Select(n => json.RootElement.GetProperty(n).GetRawText()));
    })];

    private string PathOf(params string[] parts) => Path.Combine([root, .. parts]);
}
