using System.Diagnostics;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Mpi.Tests;

/// <summary><c>mpirun rawdiffusion train</c>.</summary>
public sealed class MpiTrainTests : MpiFixture
{
    // Of epsilon, see ShortRun.
    private static readonly string[] Settings = [.. (
        "--data tetris --count 50 --num-channels 32 --channel-mult 1,2 --num-res-blocks 1 --emb-dim 32 --enc-channels 8 --num-components 3 "
        + "--num-head-channels 16 --epsilon 1e-3 --lr 0.01 --p-uncond 0.3 --threads 1 --sample-every 0 --save-every 1 "
        + "--log-every 1").Split(' ')];

    // So small that the emulator takes a second for a step.
    private static readonly string[] Small =
    [
        .. ("--image-size 8 --num-channels 16 --channel-mult 1 --emb-dim 16 --num-components 2 --num-heads 1 "
            + "--attention-resolutions 8").Split(' '),
        "--data", Path.GetDirectoryName(Goldens.PathOf("images/synth_20x24.png"))!,
    ];

    [TestCase("cpu")]
    [TestCase("emulated")]
    public void Two_processes_train_as_one(string device)
    {
        JobOutcome many = Train(2, "many", device, "--batch", "2", "--steps", "3").Succeeded();
        Train(1, "one", device, "--batch", "4", "--steps", "3").Succeeded();
        Assert.That(many.Error, Does.Contain("each of 2 processes").And.Contains(device == "cpu" ? "on cpu" : "sums through host memory"));
        using TensorFile expected = SafeTensors.Open(Model("one")), found = SafeTensors.Open(Model("many"));
        foreach (string name in expected.Names)
            Comparer.RequireClose(name, expected[name].ToDoubles(), found[name].ToDoubles(), new Tolerance(1e-4, 1e-4, 0));
        Assert.That(File.ReadLines(Path.Combine(Folder, "many", "log.jsonl")).Count(), Is.EqualTo(3), "one process writes the log");
    }

    [TestCase("cpu")]
    [TestCase("emulated")]
    public void A_killed_process_leaves_a_run_that_goes_on_bit_for_bit(string device)
    {
        using Process job = MpiJob.Start(MpiJob.Processes(
            2, Command, ["train", .. SettingsOn(device), "--batch", "1", "--steps", "100000", "--out", Path.Combine(Folder, "cut")]));
        Task<JobOutcome> outcome = Task.Run(() => MpiJob.Finish(job));
        WaitFor(() => Newest("cut") >= 1 || outcome.IsCompleted);
        Assert.That(outcome.IsCompleted, Is.False, () => outcome.Result.Error);
        using (var victim = Process.GetProcessById(PidOf(rank: 1))) victim.Kill();
        WaitFor(() => outcome.IsCompleted);
        Assert.That(outcome.Result.ExitCode, Is.Not.Zero);
        Assert.That(outcome.Result.Error, Does.Contain("Killed").IgnoreCase);

        string steps = $"{Newest("cut") + 1}";
        MpiJob.Run(MpiJob.Processes(2, Command, "train", "--resume", Path.Combine(Folder, "cut"), "--steps", steps)).Succeeded();
        Train(2, "whole", device, "--batch", "1", "--steps", steps).Succeeded();
        Assert.That(File.ReadAllBytes(Model("cut")), Is.EqualTo(File.ReadAllBytes(Model("whole"))));
    }

    [TestCase(0)]
    [TestCase(1)]
    public void A_signal_to_one_process_ends_the_run_saved(int rank)
    {
        using Process job = MpiJob.Start(MpiJob.Processes(2, Command, ["train", .. SettingsOn("cpu").Select(
            s => s == "--save-every" ? "--keep" : s), "--batch", "1", "--steps", "100000", "--out", Path.Combine(Folder, "ended")]));
        Task<JobOutcome> outcome = Task.Run(() => MpiJob.Finish(job));
        string log = Path.Combine(Folder, "ended", "log.jsonl");
        WaitFor(() => outcome.IsCompleted || (File.Exists(log) && new FileInfo(log).Length > 0));
        Assert.That(outcome.IsCompleted, Is.False, () => outcome.Result.Error);
        using (var kill = Process.Start("kill", ["-TERM", $"{PidOf(rank)}"])) kill.WaitForExit();
        WaitFor(() => outcome.IsCompleted);
        Assert.That(outcome.Result.ExitCode, Is.EqualTo(130));
        Assert.That(outcome.Result.Error, Does.Match(@"interrupted at step \d+ and saved"));
        Assert.That(Newest("ended"), Is.GreaterThan(0));
    }

    [Test]
    public void Emulated_devices_decompose_in_two_processes_as_in_one()
    {
        MpiJob.Run(MpiJob.Processes(1, Command, ["train", .. SmallSettings, "--device", "cpu", "--batch", "1", "--steps", "1", "--out",
            Path.Combine(Folder, "small")])).Succeeded();
        // More images than processes, and a part of two.
        string[] args = ["decompose", "--checkpoint", Model("small"), "--num-heads", "1", "--image",
            Goldens.PathOf("images/synth_20x24.png"), Goldens.PathOf("images/synth_97x61.png"),
            Goldens.PathOf("images/synth_20x24.png"), "--steps", "1", "--threads", "1", "--device", "emulated", "--raw", "--out"];
        string alone = Path.Combine(Folder, "alone"), together = Path.Combine(Folder, "together");
        MpiJob.Run(MpiJob.Processes(1, Command, [.. args, alone])).Succeeded();
        MpiJob.Run(MpiJob.Processes(2, Command, [.. args, together])).Succeeded();
        foreach (string file in Directory.GetFiles(alone))
            Assert.That(File.ReadAllBytes(Path.Combine(together, Path.GetFileName(file))), Is.EqualTo(File.ReadAllBytes(file)), file);
    }

    private JobOutcome Train(int processes, string run, string device, params string[] args) =>
        MpiJob.Run(MpiJob.Processes(processes, Command, ["train", .. SettingsOn(device), .. args, "--out", Path.Combine(Folder, run)]));

    private static IEnumerable<string> SettingsOn(string device) => [.. device == "cpu" ? Settings : SmallSettings, "--device", device];

    private static IEnumerable<string> SmallSettings =>
        [.. Settings.Chunk(2).Where(pair => !Small.Contains(pair[0]) && pair[0] is not ("--count" or "--num-head-channels"))
        .SelectMany(pair => pair), .. Small];

    private string Model(string run) => Path.Combine(Folder, run, "model.safetensors");

    private int Newest(string run)
    {
        string checkpoints = Path.Combine(Folder, run, "checkpoints");
        if (!Directory.Exists(checkpoints)) return -1;
        return Directory.GetFiles(checkpoints, "*.safetensors").Select(f => int.Parse(Path.GetFileNameWithoutExtension(f).Split('-')[^1]))
            .DefaultIfEmpty(-1).Max();
    }

    // The process of this test's job, by what its launcher told it.
    private int PidOf(int rank)
    {
        foreach (string process in Directory.GetDirectories("/proc").Where(d => int.TryParse(Path.GetFileName(d), out _)))
        {
            try
            {
                if (!File.ReadAllText(Path.Combine(process, "cmdline")).Contains(Folder)) continue;
                string[] environment = File.ReadAllText(Path.Combine(process, "environ")).Split('\0');
                if (environment.Contains($"OMPI_COMM_WORLD_RANK={rank}") || environment.Contains($"PMI_RANK={rank}"))
                    return int.Parse(Path.GetFileName(process));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is somebody else's.
            }
        }
        throw new InvalidOperationException($"there is no process of rank {rank}");
    }
}
