using System.Security.Cryptography;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>A run's folder, and that a run that was interrupted ends as one that was not.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class TrainingRunTests : IDisposable
{
    private const int Steps = 9;

    // Everything that a state holds is in use: clipping, decay, dropped latents and activations, two parts, a penalty.
    private static readonly RunConfig Config = Runs.Config with
    {
        Training = Runs.Config.Training with
        {
            BatchSize = 4,
            Accumulate = 2,
            Steps = Steps,
            Warmup = 3,
            Decay = RateDecay.Cosine,
            Adam = new() { WeightDecay = 0.01, Decoupled = true, MaxNorm = 0.5 },
            LatentOrthogonality = true,
            UnconditionalProbability = 0.3,
            Dropout = 0.2,
            EmaRate = 0.9,
        },
        LogEvery = 4,
        SaveEvery = 2,
        SampleEvery = 6,
        Keep = 2,
    };

    private readonly string root = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");
    private readonly List<string> told = [];

    public TrainingRunTests() => Directory.CreateDirectory(root);

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Test]
    public void A_run_that_was_interrupted_ends_as_one_that_was_not()
    {
        Runs.Result whole = Train("whole", Config, threads: 1);
        Assert.That(whole.Finished && whole.Step == Steps);
        // After a step with a checkpoint, in the middle of a window of the log, and twice; with other threads.
        foreach (int[] stops in (int[][])[[2], [3], [1, 5], [4, 7, 8]])
        {
            string name = string.Join('-', stops);
            Train(name, Config, threads: 2, stopAfter: stops[0]);
            foreach (int stop in stops.Skip(1)) Resume(name, threads: 1, stopAfter: stop);
            Assert.That(Resume(name, threads: 2).Finished);
            foreach (string file in (string[])["checkpoints/step-9.safetensors", "model.safetensors", "samples/step-6.png", "config.json"])
                Assert.That(File.ReadAllBytes(PathOf(name, file)), Is.EqualTo(File.ReadAllBytes(PathOf("whole", file))), $"{name}: {file}");
            Assert.That(Log(name), Is.EqualTo(Log("whole")), name);
            Assert.That(Files(name), Is.EqualTo(Files("whole")), name);
        }
        Assert.That(Log("whole").Select(l => l.Split(' ')[0]), Is.EqualTo(new[] { "4", "8", "9" }));
        Assert.That(Files("whole"), Is.EqualTo(new[]
        {
            "checkpoints/step-8.safetensors", "checkpoints/step-8.safetensors.sha256", "checkpoints/step-9.safetensors",
                "checkpoints/step-9.safetensors.sha256",
            "config.json", "environment.json", "log.jsonl", "model.safetensors", "samples/step-6.png",
        }));
    }

    [Test]
    public void What_a_killed_process_leaves_half_written_is_removed()
    {
        Train("whole", Config);
        Train("killed", Config, stopAfter: 5);
        File.AppendAllText(PathOf("killed", "log.jsonl"), "{\"step\":8,\"loss\":1}\n{\"step\":9,\"lo");
        File.WriteAllText(PathOf("killed", "checkpoints/step-6.safetensors.new"), "half");
        File.WriteAllText(PathOf("killed", "checkpoints/step-6.safetensors.sha256"), "half");
        File.WriteAllText(PathOf("killed", "model.safetensors.0.tmp"), "half");
        Resume("killed");
        Assert.That(Log("killed"), Is.EqualTo(Log("whole")));
        Assert.That(Files("killed"), Is.EqualTo(Files("whole")));
        Assert.That(File.ReadAllBytes(PathOf("killed", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(PathOf("whole", "model.safetensors"))));
    }

    [TestCase("flipped")]
    [TestCase("cut")]
    [TestCase("without its checksum")]
    [TestCase("empty")]
    public void A_damaged_checkpoint_is_told_of_and_the_one_before_it_is_used(string damage)
    {
        Train("whole", Config);
        Train("run", Config, stopAfter: 6);
        string newest = PathOf("run", "checkpoints/step-6.safetensors");
        byte[] bytes = File.ReadAllBytes(newest);
        if (damage == "flipped") bytes[bytes.Length / 2] ^= 1;
        if (damage == "cut") bytes = bytes[..^100];
        if (damage == "empty") bytes = [];
        File.WriteAllBytes(newest, bytes);
        if (damage == "without its checksum") File.Delete(newest + ".sha256");
        int from = -1;
        Assert.That(Resume("run", begun: step => from = (int)step).Finished);
        Assert.That(from, Is.EqualTo(4));
        Assert.That(told, Has.Some.Contains("step-6.safetensors").And.Contains("the checkpoint before it is used"));
        Assert.That(File.ReadAllBytes(PathOf("run", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(PathOf("whole", "model.safetensors"))));
    }

    [Test]
    public void Without_a_whole_checkpoint_nothing_is_begun_anew()
    {
        Train("run", Config, stopAfter: 3);
        foreach (string file in Directory.GetFiles(PathOf("run", "checkpoints"), "*.safetensors")) File.WriteAllText(file, "damaged");
        Assert.That(() => Resume("run"), Throws.TypeOf<TrainingException>().With.Message.Contains("found 2 that are not"));
    }

    [Test]
    public void A_run_that_was_ended_before_its_first_checkpoint_begins_again()
    {
        Train("whole", Config);
        Train("run", Config, stopAfter: 1);
        Directory.Delete(PathOf("run", "checkpoints"), recursive: true);
        Assert.That(Resume("run").Finished);
        Assert.That(File.ReadAllBytes(PathOf("run", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(PathOf("whole", "model.safetensors"))));
    }

    [Test]
    public void A_folder_with_files_is_refused_and_so_is_one_that_is_in_use()
    {
        Train("run", Config, stopAfter: 1);
        Assert.That(() => RunFolder.Create(PathOf("run")), Throws.TypeOf<TrainingException>().With.Message.Contains("resume the run"));
        using (RunFolder.Open(PathOf("run")))
            Assert.That(() => RunFolder.Open(PathOf("run")), Throws.TypeOf<TrainingException>().With.Message.Contains("still training"));
        Directory.CreateDirectory(PathOf("other"));
        File.WriteAllText(PathOf("other", "mine.txt"), "mine");
        Assert.That(() => RunFolder.Create(PathOf("other")), Throws.TypeOf<TrainingException>().With.Message.Contains("found files in it"));
        Assert.That(() => RunFolder.Open(PathOf("other")), Throws.TypeOf<TrainingException>().With.Message.Contains("no config.json"));
        Assert.That(() => RunFolder.Create(PathOf("other", "mine.txt")), Throws.TypeOf<TrainingException>().With.Message.Contains(
            "found a file"));
    }

    [Test]
    public void A_loss_that_is_not_finite_names_the_operator_and_leaves_the_last_good_checkpoint()
    {
        RunConfig wild = Config with { Training = Config.Training with { LearningRate = 1e30, Warmup = 0, Decay = RateDecay.None } };
        TrainingException found = Assert.Throws<TrainingException>(() => Train("run", wild))!;
        Assert.That(found.Message,
            Does.Match("^step 2: .* produced .* at element [0-9]+ of its output .*; the checkpoint of step 0 is the last good one"));
        Assert.That(told, Has.Some.Contains("step 2: the loss is NaN"));
        // With a guard the same is found at once.
        TrainingException guarded = Assert.Throws<TrainingException>(() => Train("guarded", wild with { Guard = true }))!;
        Assert.That(guarded.Message, Is.EqualTo(found.Message));
        using TensorFile good = SafeTensors.Open(PathOf("run", "checkpoints/step-0.safetensors"));
        Assert.That(good["online_model.out.2.weight"].ToSingles(), Is.All.Matches<float>(float.IsFinite));
    }

    [Test]
    public void A_guard_does_not_change_what_is_computed()
    {
        Train("plain", Config);
        Train("guarded", Config with { Guard = true });
        Assert.That(File.ReadAllBytes(PathOf("guarded", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(PathOf("plain", "model.safetensors"))));
    }

    [Test]
    public void A_state_that_is_not_finite_is_not_saved()
    {
        // The loss of the step is finite still; what it leaves is not.
        RunConfig wild = Config with
        {
            SaveEvery = 1,
            Training = Config.Training with { LearningRate = 1e38, Warmup = 0, Decay = RateDecay.None }
        };
        TrainingException found = Assert.Throws<TrainingException>(() => Train("run", wild))!;
        Assert.That(found.Message, Does.Contain("produced").And.Contain("checkpoint of step 0"));
        Assert.That(Directory.GetFiles(PathOf("run", "checkpoints"), "*.safetensors").Select(Path.GetFileName),
            Is.EqualTo(new[] { "step-0.safetensors" }));
    }

    [Test]
    public void Corrupt_images_are_skipped_and_counted_or_stop_a_strict_run()
    {
        string data = PathOf("data");
        Directory.CreateDirectory(data);
        // Of mixed sizes.
        for (int i = 0; i < 5; i++)
        {
            ImageFile.WritePng(Path.Combine(data, $"{i}.png"), new Image(
                10 + 7 * i, 30 - 3 * i, 3, 8, Enumerable.Range(0, 3 * (10 + 7 * i) * (30 - 3 * i)).Select(b => (byte)b).ToArray()));
        }
        File.WriteAllText(Path.Combine(data, "5.png"), "not a picture");
        RunConfig config = Config with { Data = data, Cache = RunConfig.NoCache };
        Runs.Result result = Train("run", config);
        Assert.That((result.Finished, result.Skipped), Is.EqualTo((true, 1)));
        Assert.That(told, Has.Some.Contains("5.png is skipped"));
        Assert.That(File.ReadLines(PathOf("run", "log.jsonl")).Last(), Does.Contain("\"skipped\":1"));
        Assert.That(() => Train("strict", config with { Strict = true }), Throws.TypeOf<TrainingException>().With.Message.Contains(
            "5.png").And.Message.Contains("saved at step"));
        Assert.That(() => (config with { Data = PathOf("nowhere") }).OpenImages(), Throws.InstanceOf<IOException>());
        Directory.CreateDirectory(PathOf("empty"));
        Assert.That(() => (config with { Data = PathOf("empty") }).OpenImages(),
            Throws.InstanceOf<IOException>().With.Message.Contains("expected pictures"));
    }

    [Test]
    public void A_cache_of_images_changes_nothing_but_the_time()
    {
        string data = PathOf("data");
        Directory.CreateDirectory(data);
        for (int i = 0; i < 6; i++)
        {
            ImageFile.WritePng(Path.Combine(data, $"{i}.png"),
                new Image(40 + i, 30, 3, 8, [.. Enumerable.Range(0, 90 * (40 + i)).Select(b => (byte)(b * (i + 1)))]));
        }
        // In the middle: a packed set alone would have another order.
        File.WriteAllText(Path.Combine(data, "2.png"), "not a picture");
        RunConfig plain = Config with { Data = data, Cache = RunConfig.NoCache };
        Assert.That(Train("plain", plain).Skipped, Is.EqualTo(1));
        foreach (string name in (string[])["made", "used"])
            Assert.That(Train(name, plain with { Cache = PathOf("cache") }).Skipped, Is.EqualTo(1));
        Assert.That(Directory.GetFiles(PathOf("cache")), Has.Length.EqualTo(1));
        Train("resumed", plain, stopAfter: 3);
        RunConfigFile.Write(PathOf("resumed", "config.json"), plain with { Cache = PathOf("cache") });
        Resume("resumed");
        foreach (string name in (string[])["made", "used", "resumed"])
        {
            foreach (string file in (string[])["checkpoints/step-9.safetensors", "model.safetensors", "samples/step-6.png"])
                Assert.That(File.ReadAllBytes(PathOf(name, file)), Is.EqualTo(File.ReadAllBytes(PathOf("plain", file))), $"{name}: {file}");
            Assert.That(Log(name), Is.EqualTo(Log("plain")), name);
        }
        Assert.That(told, Has.None.Contains("not those that the run began with"));
    }

    [Test]
    public void Other_images_on_resume_are_told_of()
    {
        Train("run", Config, stopAfter: 2);
        RunConfigFile.Write(PathOf("run", "config.json"), Config with { Data = "shapes" });
        Resume("run");
        Assert.That(told, Has.Some.Contains("not those that the run began with"));
    }

    [Test]
    public void Settings_of_another_network_on_resume_are_refused()
    {
        Train("run", Config, stopAfter: 2);
        RunConfigFile.Write(PathOf("run", "config.json"), Config with { Network = Config.Network with { EmbDim = 32 } });
        Assert.That(() => Resume("run"), Throws.TypeOf<TrainingException>().With.Message.Contains("emb_dim is 8 there and 32 here"));
    }

    [Test]
    public void A_checkpoint_of_another_run_is_refused_and_the_model_stays()
    {
        Train("run", Config, stopAfter: 2);
        Train("other", Config with { Training = Config.Training with { Seed = 7, LearningRate = 0.5 } }, stopAfter: 5);
        byte[] model = File.ReadAllBytes(PathOf("run", "model.safetensors"));
        foreach (string end in (string[])["", ".sha256"])
            File.Copy(PathOf("other", "checkpoints/step-5.safetensors" + end), PathOf("run", "checkpoints/step-5.safetensors" + end));
        TrainingException found = Assert.Throws<TrainingException>(() => Resume("run"))!;
        Assert.That(found.Message, Does.Contain("step-5.safetensors is of another run").And.Contain(
            "seed is 7 there and 0 here").And.Contain("lr is 0.5 there"));
        Assert.That(File.ReadAllBytes(PathOf("run", "model.safetensors")), Is.EqualTo(model));
    }

    [Test]
    public void A_checkpoint_that_does_not_say_whose_it_is_is_told_of_and_taken()
    {
        Train("whole", Config);
        Train("run", Config, stopAfter: 5);
        string newest = PathOf("run", "checkpoints/step-5.safetensors");
        using (TensorFile file = SafeTensors.Open(newest))
        {
            Dictionary<string, string> metadata = new(file.Metadata);
            Assert.That(metadata.Remove("rawdiffusion.settings"));
            SafeTensors.Write(newest, file.Names.Select(n => KeyValuePair.Create(n, file[n])), metadata);
        }
        File.WriteAllText(newest + ".sha256", Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(newest)))
            + "  step-5.safetensors\n");
        Resume("run");
        Assert.That(told, Has.Some.Contains("step-5.safetensors does not say whose it is"));
        Assert.That(File.ReadAllBytes(PathOf("run", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(PathOf("whole", "model.safetensors"))));
    }

    [Test]
    public void A_checkpoint_under_the_name_of_another_step_is_passed_over()
    {
        Train("run", Config, stopAfter: 4);
        foreach (string end in (string[])["", ".sha256"])
            File.Copy(PathOf("run", "checkpoints/step-2.safetensors" + end), PathOf("run", "checkpoints/step-7.safetensors" + end));
        int from = -1;
        Resume("run", begun: step => from = (int)step);
        Assert.That(from, Is.EqualTo(4));
        Assert.That(told, Has.Some.Contains("step-7.safetensors holds step 2"));
    }

    [Test]
    public void A_run_begins_with_the_weights_of_a_checkpoint()
    {
        Train("first", Config);
        using TensorFile init = Checkpoint.Open(PathOf("first", "model.safetensors"));
        Train("second", Config, stopAfter: 0, init: init);
        using TensorFile begun = Checkpoint.Open(PathOf("second", "model.safetensors"));
        foreach (string name in init.Names.Where(n => !n.EndsWith("num_batches_tracked", StringComparison.Ordinal)))
            Assert.That(begun[name].ToBytes(), Is.EqualTo(init[name].ToBytes()), name);
        Assert.That(() => Train("third", Config with { Network = Config.Network with { EmbDim = 32 } }, init: init),
            Throws.TypeOf<CheckpointException>());
    }

    [Test]
    public void The_model_of_a_run_tells_what_its_shapes_do_not()
    {
        TrainingOptions predictsNoise = Config.Training with { Predicts = Prediction.Epsilon };
        Train("run", Config with { Schedule = "linear", DiffusionSteps = 100, Training = predictsNoise });
        using TensorFile model = SafeTensors.Open(PathOf("run", "model.safetensors"));
        Assert.That(model.Metadata, Is.EquivalentTo(new Dictionary<string, string>
        {
            ["rawdiffusion.trained"] = "true",
            ["rawdiffusion.image_size"] = "16",
            ["rawdiffusion.num_head_channels"] = "16",
            ["rawdiffusion.schedule"] = "linear",
            ["rawdiffusion.diffusion_steps"] = "100",
            ["rawdiffusion.predict"] = "eps",
        }));
        Assert.That(model.Names, Is.EqualTo(DecompTensors.Of(Config.NetworkFor(16)).Select(e => e.Name)));
        Assert.That(model["latent_encoder.2.bn1.num_batches_tracked"].Type, Is.EqualTo(TensorType.Int64));
        // Two batches for the penalty and two parts, at each step.
        Assert.That(model["latent_encoder.2.bn1.num_batches_tracked"].ToInt64s(), Is.EqualTo(new long[] { 4 * Steps }));
    }

    private Runs.Result Train(string name, RunConfig config, int threads = 1, int stopAfter = -1, TensorFile? init = null)
    {
        using var folder = RunFolder.Create(PathOf(name));
        return Runs.Train(folder, config, threads, stopAfter,
            (device, set) => TrainingRun.Begin(folder, config, device, set, init, "test", Tell));
    }

    private Runs.Result Resume(string name, int threads = 1, int stopAfter = -1, Action<long>? begun = null)
    {
        using var folder = RunFolder.Open(PathOf(name));
        RunConfig config = RunConfigFile.Read(folder.Config);
        return Runs.Train(folder, config, threads, stopAfter, (device, set) =>
        {
            var run = TrainingRun.Resume(folder, config, device, set, () => null, "test", Tell);
            begun?.Invoke(run.Step);
            return run;
        });
    }

    private void Tell(string message)
    {
        lock (told) told.Add(message);
    }

    private string PathOf(params string[] parts) => Path.Combine([root, .. parts]);

    private string[] Log(string name) => [.. File.ReadLines(PathOf(name, "log.jsonl")).Select(Runs.WithoutTimes)];

    private string[] Files(string name) => [.. Directory.GetFiles(PathOf(name), "*", SearchOption.AllDirectories)
        .Select(f => Path.GetRelativePath(PathOf(name), f).Replace('\\', '/')).Where(f => f != ".lock").Order(StringComparer.Ordinal)];
}
