using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Tests;

/// <summary>The verb, and what becomes of a run whose process is ended.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed partial class TrainTests : IDisposable
{
    private const string Tiny = "--data tetris --image-size 16 --num-channels 16 --channel-mult 1,1 --num-res-blocks 1 --emb-dim 8 "
        + "--enc-channels 4 --num-components 2 --attention-resolutions 8 --num-head-channels 16 --batch 2 --sample-every 0";

    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [Test]
    public void A_model_is_trained_and_used()
    {
        JsonElement json = Train("run", "--steps 6 --log-every 2 --sample-every 4 --predict eps --diffusion-steps 100 --json")
            .Succeeded().Json;
        Assert.That((json.GetProperty("step").GetInt32(), json.GetProperty("finished").GetBoolean()), Is.EqualTo((6, true)));
        Assert.That(json.GetProperty("loss").GetDouble(), Is.GreaterThan(0));
        string model = json.GetProperty("model").GetString()!;
        Assert.That(File.ReadAllLines(work.PathOf("run/log.jsonl")), Has.Length.EqualTo(3));
        Image sheet = ImageFile.Read(work.PathOf("run/samples/step-4.png"));
        Assert.That((sheet.Width, sheet.Height), Is.EqualTo((4 * 18 - 2, 4 * 18 - 2)));
        JsonElement environment = JsonDocument.Parse(File.ReadAllBytes(work.PathOf("run/environment.json"))).RootElement[0];
        Assert.That(environment.GetProperty("device").GetString(), Does.StartWith("cpu ("));

        // The model knows its process and what it predicts: with flags that say the same nothing changes, with others it does.
        string picture = Testing.Goldens.PathOf("images/synth_20x24.png");
        byte[] Decomposed(string options)
        {
            Rawdiffusion.Run(["decompose", "--checkpoint", model, "--image", picture, "--threads", "1", "--steps", "5", "--out", work.Out,
                .. Words(options)]).Succeeded();
            return File.ReadAllBytes(Path.Combine(work.Out, "synth_20x24.png"));
        }
        byte[] plain = Decomposed("");
        Assert.That(Decomposed("--predict eps --diffusion-steps 100"), Is.EqualTo(plain));
        Assert.That(Decomposed("--predict xstart"), Is.Not.EqualTo(plain));
        Assert.That(Decomposed("--diffusion-steps 50"), Is.Not.EqualTo(plain));
    }

    [Test]
    public void Checkpoints_go_to_the_authors_format()
    {
        Train("run", "--steps 3 --ema 0.5").Succeeded();
        string checkpoint = work.PathOf("run/checkpoints/step-3.safetensors");
        Rawdiffusion.Run("import", work.PathOf("run/model.safetensors"), "--to", work.PathOf("model.pt")).Succeeded();
        Outcome average = Rawdiffusion.Run("import", checkpoint, "--to", work.PathOf("average.pt")).Succeeded();
        Assert.That(average.Out, Does.Contain("EMA weights taken (step 3)").And.Contain("16 channels a head"));
        Rawdiffusion.Run("import", checkpoint, "--weights", "online", "--to", work.PathOf("online.pt")).Succeeded();
        using TensorFile model = Checkpoint.Open(work.PathOf("model.pt")), same = Checkpoint.Open(
            work.PathOf("average.pt")), online = Checkpoint.Open(work.PathOf("online.pt"));
        Assert.That(same.Names, Is.EqualTo(model.Names));
        foreach (string name in model.Names) Assert.That(same[name].ToBytes(), Is.EqualTo(model[name].ToBytes()), name);
        Assert.That(online.Names, Is.EqualTo(model.Names));
        Assert.That(model["latent_encoder.2.bn1.num_batches_tracked"].ToInt64s(), Is.EqualTo(new long[] { 3 }));
    }

    [Test]
    public void A_run_begins_from_a_file_of_settings_and_a_checkpoint()
    {
        Train("first", "--steps 2").Succeeded();
        // The file has all but the data; the network is the checkpoint's; a flag comes on top.
        File.WriteAllText(work.PathOf("settings.json"), """{ "steps": 3, "batch": 2, "sample_every": 0, "threads": 1, "lr": 0.5 }""");
        Outcome second = Rawdiffusion.Run(
            "train", "--config", work.PathOf("settings.json"), "--init", work.PathOf("first/model.safetensors"),
            "--data", "tetris", "--lr", "0.001", "--predict", "eps", "--out", work.PathOf("second")).Succeeded();
        Assert.That(second.Error, Does.Contain("trained with --predict xstart, this run trains with eps").And.Not.Contain("--schedule"));
        JsonElement config = JsonDocument.Parse(File.ReadAllBytes(work.PathOf("second/config.json"))).RootElement;
        Assert.That(config.GetProperty("num_channels").GetInt32(), Is.EqualTo(16));
        Assert.That(config.GetProperty("lr").GetDouble(), Is.EqualTo(0.001));
        Assert.That(config.GetProperty("steps").GetInt32(), Is.EqualTo(3));
        // A run can be made longer.
        Outcome longer = Rawdiffusion.Run(
            "train", "--resume", work.PathOf("second"), "--steps", "5", "--threads", "1", "--json").Succeeded();
        Assert.That(longer.Json.GetProperty("step").GetInt32(), Is.EqualTo(5));
        Rawdiffusion.Run("train", "--init", work.PathOf("first/model.safetensors"), "--num-channels", "32", "--data", "tetris", "--out",
            work.PathOf("third")).Failed(1, "mis-shaped");
    }

    [Test]
    public void Killed_at_random_moments_a_run_ends_as_one_that_was_not() => KillAtRandom(kills: 3, steps: 30);

    [Test, Explicit("takes minutes")]
    public void Killed_at_twenty_random_moments_a_run_ends_as_one_that_was_not() => KillAtRandom(kills: 20, steps: 200);

    [Test]
    public void A_run_that_was_killed_between_a_checkpoint_and_its_model_writes_the_model()
    {
        Train("run", "--steps 4 --save-every 2").Succeeded();
        Train("shorter", "--steps 2").Succeeded();
        byte[] whole = Model("run");
        File.Copy(work.PathOf("shorter/model.safetensors"), work.PathOf("run/model.safetensors"), overwrite: true);
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--threads", "1").Succeeded();
        Assert.That(Model("run"), Is.EqualTo(whole));
    }

    [TestCase(2, TestName = "Ctrl-C saves the run and says how to go on")]
    [TestCase(15, TestName = "SIGTERM saves the run and says how to go on")]
    public void A_signal_saves_the_run(int signal)
    {
        if (OperatingSystem.IsWindows()) Assert.Ignore("needs signals");
        using Process process = Start("run", "--steps 100000 --log-every 1 --save-every 100000");
        Task<string> rest = Task.Run(() =>
        {
            // The first line of the log says that steps are being done.
            string text = "";
            while (process.StandardError.ReadLine() is { } line)
            {
                text += line + "\n";
                if (line.StartsWith("step 3 ", StringComparison.Ordinal)) Kill(process.Id, signal);
            }
            return text;
        });
        // A second is the aim; a busy machine may take long to get to step 3.
        if (!process.WaitForExit(600_000))
        {
            process.Kill();
            Assert.Fail($"it goes on: {rest.Result}");
        }
        Assert.That(process.ExitCode, Is.EqualTo(130), rest.Result);
        string last = rest.Result.TrimEnd().Split('\n')[^1];
        Assert.That(last, Does.Match(
            $"^interrupted at step [0-9]+ and saved: go on with rawdiffusion train --resume {work.PathOf("run")}$"));
        int step = int.Parse(last.Split(' ')[3]);
        Assert.That(File.Exists(work.PathOf($"run/checkpoints/step-{step}.safetensors")));
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--steps", $"{step + 2}", "--threads", "1").Succeeded();
        Train("whole", $"--steps {step + 2}").Succeeded();
        Assert.That(Model("run"), Is.EqualTo(Model("whole")));
    }

    [Test]
    public void A_full_disk_in_the_middle_of_a_checkpoint_loses_nothing()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("needs Linux, to mount a small file system");
        Train("whole", "--steps 4 --save-every 2").Succeeded();
        long checkpoint = new FileInfo(work.PathOf("whole/checkpoints/step-4.safetensors")).Length;
        Directory.CreateDirectory(work.PathOf("run"));
        // The first checkpoint and its model fit, half of the second does not.
        if (Mount($"size={7 * checkpoint / 4 / 1024}k") != 0) Assert.Ignore("needs the right to mount a small file system");
        try
        {
            Train("run", "--steps 4 --save-every 2")
                .Failed(1, "cannot write", "step-2.safetensors", "No space left", "saved at step 0", "resume the run");
            Assert.That(Directory.GetFiles(work.PathOf("run/checkpoints")).Select(Path.GetFileName).Order(StringComparer.Ordinal),
                Is.EqualTo(new[] { "step-0.safetensors", "step-0.safetensors.sha256" }));
            Assert.That(Mount($"remount,size={8 * checkpoint / 1024}k"), Is.Zero);
            Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--threads", "1").Succeeded();
            Assert.That(Model("run"), Is.EqualTo(Model("whole")));
        }
        finally
        {
            using var unmount = Process.Start("umount", [work.PathOf("run")]);
            unmount.WaitForExit();
        }
    }

    [Test]
    public void A_corrupt_picture_is_skipped_and_counted()
    {
        string data = work.PathOf("data");
        Directory.CreateDirectory(data);
        for (int i = 0; i < 3; i++)
            ImageFile.WritePng(Path.Combine(data, $"{i}.png"), new Image(20 + i, 18, 3, 8, new byte[3 * 18 * (20 + i)]));
        File.WriteAllText(Path.Combine(data, "bad.png"), "not a picture");
        Outcome outcome = Train("run", $"--steps 4 --data {data} --cache {work.PathOf("cache")} --json").Succeeded();
        Assert.That(outcome.Json.GetProperty("skipped_images").GetInt32(), Is.EqualTo(1));
        Assert.That(outcome.Error, Does.Contain("bad.png is skipped"));
        Train("strict", $"--steps 4 --data {data} --cache {work.PathOf("cache")} --strict").Failed(1, "bad.png", "saved at step");
    }

    [Test]
    public void A_run_goes_on_with_its_pictures_in_another_place()
    {
        string data = Pictures(), moved = work.PathOf("moved");
        File.WriteAllText(Path.Combine(data, "notes.txt"), "");
        Outcome begun = Train("run", $"--steps 2 --data {data} --cache off --json").Succeeded();
        Assert.That(begun.Error, Does.Contain("3 pictures used; 1 passed over: 1 not pictures (.txt)"));
        Assert.That(begun.Json.GetProperty("passed_over")[0].GetProperty("count").GetInt32(), Is.EqualTo(1));
        Directory.Move(data, moved);
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--steps", "3").Failed(1, data, "say where to with --data");
        Outcome resumed = Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--steps", "3", "--data", moved).Succeeded();
        Assert.That(resumed.Error, Does.Not.Contain("not those that the run began with"));
        Assert.That(File.ReadAllText(work.PathOf("run/config.json")), Does.Contain("moved"));
        File.Copy(Path.Combine(moved, "0.png"), Path.Combine(moved, "3.png"));
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--steps", "4", "--data", moved)
            .Failed(1, "expected the run's images", "found others");
    }

    [Test]
    public void Pictures_and_folders_without_permission_are_skipped_by_every_verb()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root" || !File.Exists("/usr/bin/setpriv"))
            Assert.Ignore("needs root and setpriv, to become nobody");
        string data = Pictures();
        Directory.CreateDirectory(Path.Combine(data, "lost+found"));
        foreach (string[] mode in (string[][])[["0", Path.Combine(data, "lost+found")], ["0", Path.Combine(data, "1.png")],
            ["777", work.Folder]])
        {
            using var change = Process.Start("chmod", mode);
            change.WaitForExit();
        }
        (int code, string said) = AsNobody("dataset", "pack", data, "--to", work.PathOf("x.pack"));
        Assert.That((code, said.Contains("lost+found") && said.Contains("1 without permission") && said.Contains("1.png is skipped")),
            Is.EqualTo((0, true)), said);
        (code, said) = AsNobody("dataset", "show", data, "--out", work.Out);
        Assert.That((code, said.Contains("lost+found") && said.Contains("1.png is skipped")), Is.EqualTo((0, true)), said);
        (code, said) = AsNobody("dataset", "pack", data, "--strict", "--to", work.PathOf("y.pack"));
        Assert.That((code, said.Contains("lost+found") && said.Contains("can all be read")), Is.EqualTo((1, true)), said);
        (code, said) = AsNobody(Arguments("run", $"--steps 1 --data {data} --cache off"));
        Assert.That((code, said.Contains("lost+found")), Is.EqualTo((0, true)), said);

        (int, string) AsNobody(params string[] arguments)
        {
            string[] user = ["--reuid=65534", "--regid=65534", "--clear-groups", "env", $"HOME={work.Folder}", "dotnet",
                Path.Combine(AppContext.BaseDirectory, "rawdiffusion.dll")];
            using Process process = Process.Start(
                new ProcessStartInfo("setpriv", [.. user, .. arguments]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            _ = process.StandardOutput.ReadToEndAsync();
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, error);
        }
    }

    [Test]
    public void Pictures_are_decoded_once_where_they_are_read_more_often()
    {
        string cache = work.PathOf("cache");
        string options = $"--steps 4 --log-every 2 --data {Pictures()} --cache {cache}";
        Train("once", options.Replace("--steps 4", "--steps 1")).Succeeded();
        Assert.That(Directory.Exists(cache), Is.False, "three images are read once at most");
        Train("off", options.Replace(cache, "off")).Succeeded();
        Assert.That(Directory.Exists(cache), Is.False);
        Train("made", options).Succeeded();
        Assert.That(Directory.GetFiles(cache).Select(Path.GetExtension), Is.EqualTo(new[] { ".pack" }));
        DateTime made = File.GetLastWriteTimeUtc(Directory.GetFiles(cache).Single());
        Train("used", options).Succeeded();
        Assert.That(File.GetLastWriteTimeUtc(Directory.GetFiles(cache).Single()), Is.EqualTo(made));
        // Another cache, or none, is no other run.
        Rawdiffusion.Run("train", "--resume", work.PathOf("made"), "--steps", "5", "--cache", "off").Succeeded();
        Rawdiffusion.Run("train", "--resume", work.PathOf("off"), "--steps", "5", "--cache", cache).Succeeded();
        Assert.That(File.ReadAllBytes(work.PathOf("made/checkpoints/step-5.safetensors")),
            Is.EqualTo(File.ReadAllBytes(work.PathOf("off/checkpoints/step-5.safetensors"))));
    }

    [Test]
    public void A_full_disk_of_the_cache_costs_time_alone()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("needs Linux, to mount a small file system");
        string data = Pictures(), cache = work.PathOf("run");
        Directory.CreateDirectory(cache);
        if (Mount("size=4k") != 0) Assert.Ignore("needs the right to mount a small file system");
        try
        {
            Outcome outcome = Train("trained", $"--steps 4 --data {data} --cache {cache}").Succeeded();
            Assert.That(outcome.Error.Split('\n').Count(l => l.Contains("No space left") && l.Contains("decoded again")), Is.EqualTo(1),
                outcome.Error);
            Assert.That(Directory.GetFiles(cache), Is.Empty);
        }
        finally
        {
            using var unmount = Process.Start("umount", [cache]);
            unmount.WaitForExit();
        }
    }

    // Three pictures of other sizes than the network's.
    private string Pictures()
    {
        string data = work.PathOf("pictures");
        Directory.CreateDirectory(data);
        for (int i = 0; i < 3; i++)
        {
            ImageFile.WritePng(Path.Combine(data, $"{i}.png"),
                new Image(60 + i, 58, 3, 8, [.. Enumerable.Range(0, 3 * 58 * (60 + i)).Select(b => (byte)(b * (i + 3)))]));
        }

        return data;
    }

    [TestCase("", "either --out DIR", "--resume DIR")]
    [TestCase("--out x --resume y", "either --out DIR")]
    [TestCase("--out x", "expected images to train with: --data")]
    [TestCase("--out x --data tetris --batch 0", "--batch takes a whole number of at least 1, found '0'")]
    [TestCase("--out x --data tetris --dropout 1", "--dropout takes a number from 0 to 0.999, found '1'")]
    [TestCase("--out x --data tetris --decay sudden", "--decay takes none, cosine or linear, found 'sudden'")]
    [TestCase("--out x --data tetris --adamw maybe", "--adamw takes on or off, found 'maybe'")]
    [TestCase("--out x --data tetris --channel-mult 1,x", "--channel-mult takes a whole number", "'x'")]
    [TestCase("--out x --data tetris --crop 1,2", "--crop takes X,Y,WIDTH,HEIGHT")]
    [TestCase("--out x --data tetris --batch 3 --accumulate 2", "--accumulate 2 does not divide --batch 3")]
    [TestCase("--out x --data tetris --warmup 20 --steps 10", "--warmup 20 is longer than --steps 10")]
    [TestCase("--out x --data tetris --num-heads 2 --num-head-channels 8", "not both")]
    [TestCase("--out x --data tetris --schedule linear --diffusion-steps 10", "at least 21 timesteps")]
    [TestCase("--out x --data tetris --preset imagenet", "'imagenet'")]
    [TestCase("--out x --data tetris --precision bf16 --device cpu", "fp32", "bf16")]
    public void Bad_usage(string options, params string[] parts)
    {
        string[] words = [.. Words(options).Select(w => w is "x" or "y" ? work.PathOf(w) : w)];
        Rawdiffusion.Run(["train", .. words]).Failed(2, parts);
        Assert.That(Directory.GetFileSystemEntries(work.Folder), Is.Empty);
    }

    [Test]
    public void Bad_folders_and_networks()
    {
        Train("run", "--steps 2").Succeeded();
        Train("run", "--steps 2").Failed(1, "found files in it", "resume the run");
        Rawdiffusion.Run("train", "--resume", work.PathOf("nowhere")).Failed(1, "no config.json");
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--lr", "1")
            .Failed(2, "--lr is decided when a run begins", "--steps, --save-every");
        Rawdiffusion.Run("train", "--resume", work.PathOf("run"), "--preset", "clevr").Failed(2, "--preset is decided");
        Train("odd", "--emb-dim 7").Failed(1, "must be even");
        Train("none", "--data /nowhere/at/all").Failed(1, "/nowhere/at/all");
        Assert.That(Directory.Exists(work.PathOf("odd")) || Directory.Exists(work.PathOf("none")), Is.False);
        Rawdiffusion.Run("train", "--data", "tetris", "--config", work.PathOf("none.json"), "--out", work.PathOf("a"))
            .Failed(1, "expected settings", "no such file");
    }

    // Ends processes by SIGKILL at random moments, as many as asked for; runs that come to their end are compared and begun anew.
    private void KillAtRandom(int kills, int steps)
    {
        if (OperatingSystem.IsWindows()) Assert.Ignore("needs signals");
        string options = $"--steps {steps} --log-every 7 --save-every 5 --keep 2";
        var watch = Stopwatch.StartNew();
        using (Process whole = Start("whole", options)) Finish(whole);
        // From the start of the process to some time after its first checkpoints, on a busy machine as on an idle one.
        int longest = (int)watch.ElapsedMilliseconds;
        var random = new Random();
        int killed = 0;
        while (killed < kills)
        {
            using Process process = Continue("run", options, 1 + random.Next(2));
            Task<string> error = Drain(process);
            if (process.WaitForExit(random.Next(longest)))
            {
                Assert.That(process.ExitCode, Is.Zero, error.Result);
                CompareRuns(steps);
                Directory.Delete(work.PathOf("run"), recursive: true);
                continue;
            }
            process.Kill();
            process.WaitForExit();
            // Before it has begun there is nothing to go on with.
            if (File.Exists(work.PathOf("run/config.json"))) killed++;
        }
        using (Process last = Continue("run", options, 1)) Finish(last);
        CompareRuns(steps);
    }

    private void CompareRuns(int steps)
    {
        foreach (string file in (string[])["model.safetensors", $"checkpoints/step-{steps}.safetensors"])
            Assert.That(File.ReadAllBytes(work.PathOf($"run/{file}")), Is.EqualTo(File.ReadAllBytes(work.PathOf($"whole/{file}"))), file);
        Assert.That(Log("run"), Is.EqualTo(Log("whole")));
    }

    private Process Continue(string run, string options, int threads)
    {
        if (File.Exists(work.PathOf($"{run}/config.json")))
            return Rawdiffusion.Start("train", "--resume", work.PathOf(run), "--threads", $"{threads}");
        if (Directory.Exists(work.PathOf(run))) Directory.Delete(work.PathOf(run), recursive: true);
        return Start(run, options);
    }

    private static void Finish(Process process)
    {
        Task<string> error = Drain(process);
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, error.Result);
    }

    private static Task<string> Drain(Process process)
    {
        _ = process.StandardOutput.ReadToEndAsync();
        return process.StandardError.ReadToEndAsync();
    }

    private string[] Log(string run) => [.. File.ReadLines(work.PathOf($"{run}/log.jsonl")).Select(line =>
    {
        using var json = JsonDocument.Parse(line);
        return string.Join(' ', ((string[])["step", "loss", "gradient_norm", "rate"])
            .Select(n => json.RootElement.GetProperty(n).GetRawText()));
    })];

    private byte[] Model(string run) => File.ReadAllBytes(work.PathOf($"{run}/model.safetensors"));

    // Later options win, so that a test can give another value.
    private string[] Arguments(string run, string options)
    {
        string[] given = Words(options);
        string[] tiny = Words(Tiny);
        IEnumerable<string> rest = tiny.Chunk(2).Where(pair => !given.Contains(pair[0])).SelectMany(pair => pair);
        return ["train", .. rest, .. given, "--threads", "1", "--out", work.PathOf(run)];
    }

    private Outcome Train(string run, string options) => Rawdiffusion.Run(Arguments(run, options));

    private Process Start(string run, string options) => Rawdiffusion.Start(Arguments(run, options));

    private int Mount(string options)
    {
        using var mount = Process.Start("mount", ["-t", "tmpfs", "-o", options, "tmpfs", work.PathOf("run")]);
        mount.WaitForExit();
        return mount.ExitCode;
    }

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
