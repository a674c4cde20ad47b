using System.Diagnostics;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Mpi.Tests;

/// <summary><c>mpirun rawdiffusion train</c>.</summary>
public sealed class MpiTrainTests : MpiFixture
{
    // Of epsilon, see ShortRun.
    private static readonly string[] Settings = [.. ("--data tetris --count 50 --num-channels 32 --channel-mult 1,2 --num-res-blocks 1 --emb-dim 32 --enc-channels 8 --num-components 3 "
        + "--num-head-channels 16 --epsilon 1e-3 --lr 0.01 --p-uncond 0.3 --threads 1 --device cpu --sample-every 0 --save-every 1 --log-every 1").Split(' ')];

    [Test]
    public void Two_processes_train_as_one()
    {
        JobOutcome many = Train(2, "many", "--batch", "2", "--steps", "4").Succeeded();
        Train(1, "one", "--batch", "4", "--steps", "4").Succeeded();
        Assert.That(many.Error, Does.Contain("each of 2 processes"));
        using TensorFile expected = SafeTensors.Open(Model("one")), found = SafeTensors.Open(Model("many"));
        foreach (string name in expected.Names)
            Comparer.RequireClose(name, expected[name].ToDoubles(), found[name].ToDoubles(), new Tolerance(1e-4, 1e-4, 0));
        Assert.That(File.ReadLines(Path.Combine(Folder, "many", "log.jsonl")).Count(), Is.EqualTo(4), "one process writes the log");
    }

    [Test]
    public void A_killed_process_leaves_a_run_that_goes_on_bit_for_bit()
    {
        using Process job = MpiJob.Start(MpiJob.Processes(2, Command, ["train", .. Settings, "--batch", "2", "--steps", "100000", "--out", Path.Combine(Folder, "cut")]));
        Task<JobOutcome> outcome = Task.Run(() => MpiJob.Finish(job));
        WaitFor(() => Newest("cut") >= 2 || outcome.IsCompleted);
        Assert.That(outcome.IsCompleted, Is.False, () => outcome.Result.Error);
        using (Process victim = Process.GetProcessById(PidOf(rank: 1))) victim.Kill();
        WaitFor(() => outcome.IsCompleted);
        Assert.That(outcome.Result.ExitCode, Is.Not.Zero);
        Assert.That(outcome.Result.Error, Does.Contain("Killed").IgnoreCase);

        string steps = $"{Newest("cut") + 1}";
        MpiJob.Run(MpiJob.Processes(2, Command, "train", "--resume", Path.Combine(Folder, "cut"), "--steps", steps)).Succeeded();
        Train(2, "whole", "--batch", "2", "--steps", steps).Succeeded();
        Assert.That(File.ReadAllBytes(Model("cut")), Is.EqualTo(File.ReadAllBytes(Model("whole"))));
    }

    [Test]
    public void Devices_that_do_not_work_together_are_refused_once()
    {
        JobOutcome outcome = Train(2, "none", "--batch", "2", "--steps", "4", "--device", "emulated");
        Assert.That(outcome.ExitCode, Is.EqualTo(2), outcome.Error);
        Assert.That(outcome.Error.Split("error: "), Has.Length.EqualTo(2), outcome.Error);
        Assert.That(outcome.Error, Does.Contain("use --device cpu"));
    }

    private JobOutcome Train(int processes, string run, params string[] args) =>
        MpiJob.Run(MpiJob.Processes(processes, Command, ["train", .. Settings.Chunk(2).Where(pair => !args.Contains(pair[0])).SelectMany(pair => pair), .. args, "--out", Path.Combine(Folder, run)]));

    private string Model(string run) => Path.Combine(Folder, run, "model.safetensors");

    private int Newest(string run)
    {
        string checkpoints = Path.Combine(Folder, run, "checkpoints");
        if (!Directory.Exists(checkpoints)) return -1;
        return Directory.GetFiles(checkpoints, "*.safetensors").Select(f => int.Parse(Path.GetFileNameWithoutExtension(f).Split('-')[^1])).DefaultIfEmpty(-1).Max();
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
                if (environment.Contains($"OMPI_COMM_WORLD_RANK={rank}") || environment.Contains($"PMI_RANK={rank}")) return int.Parse(Path.GetFileName(process));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is somebody else's.
            }
        }
        throw new InvalidOperationException($"there is no process of rank {rank}");
    }
}
